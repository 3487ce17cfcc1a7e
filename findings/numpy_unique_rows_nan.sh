#!/usr/bin/env bash
# numpy: unique() merges NaNs in a flat array, and never merges equal rows with a NaN.
#
# Guess: equal_nan=True is the default, so two identical rows with a NaN count as one.
# Seen:  with axis=0, equal_nan has no effect: two identical rows [nan, 1] stay two, while
#        [0.0, 1] and [-0.0, 1] become one. return_counts then says 1 and 1.
# Bears on: counting rows that stand for "no feature".
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import numpy as np

for name in ("numpy",):
    print(name, version(name))

rows = np.array([[np.nan, 1], [np.nan, 1], [0.0, 1], [-0.0, 1]])
flat = np.unique(rows[:, 0], equal_nan=True)
whole, counts = np.unique(rows, axis=0, equal_nan=True, return_counts=True)
print("flat", flat.tolist(), " rows", whole.tolist(), counts.tolist())
assert flat.size == 2 and np.isnan(flat).sum() == 1
assert np.isnan(whole[:, 0]).sum() == 2
assert sorted(counts.tolist()) == [1, 1, 2]
PY
