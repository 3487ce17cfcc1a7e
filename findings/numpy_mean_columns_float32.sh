#!/usr/bin/env bash
# numpy: the column means of a float32 table depend on its memory layout.
#
# Guess: NumPy adds pairwise, so mean(axis=0) is right to about 1e-6 in any layout.
# Seen:  pairwise addition happens along the fast axis alone. Of 4,000,000 rows in [10, 11) the
#        row-major table gives 10.562, the same table in column-major order gives 10.500.
# Bears on: centring or standardising stored float32 features (pass dtype="f8").
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

rng = np.random.default_rng(0)
rows = rng.random((4_000_000, 4), dtype="f4") + np.float32(10)
right = rows.mean(axis=0, dtype="f8")
by_row = rows.mean(axis=0)
by_column = np.asfortranarray(rows).mean(axis=0)
print("float64     ", right)
print("row-major   ", by_row)
print("column-major", by_column)
assert np.abs(by_row - right).min() > 0.05
assert np.abs(by_column - right).max() < 1e-4
PY
