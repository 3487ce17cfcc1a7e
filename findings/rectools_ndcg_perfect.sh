#!/usr/bin/env bash
# RecTools: a perfect list has an NDCG@10 of 0.22.
#
# Guess: NDCG is normalised per user, so that the best possible list scores 1.
# Seen:  by default the gain is divided by that of ten relevant items, whatever the user has. With one
#        target at rank 1 the score is 1 / sum(1 / log2(r + 1), r = 1..10) = 0.2201. divide_by_achievable=True
#        gives 1.0. MAP, MRR and Recall of the same list are 1.0.
# Bears on: comparing NDCG of leave-one-out evaluations.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  rectools==0.19.0 pandas==2.3.3 numpy==1.26.4

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import numpy as np
import pandas as pd
from rectools.metrics import MAP, MRR, NDCG, Recall

for name in ("rectools", "pandas", "numpy"):
    print(name, version(name))

lists = pd.DataFrame({"user_id": [1, 1], "item_id": [10, 11], "rank": [1, 2]})
target = pd.DataFrame({"user_id": [1], "item_id": [10]})
others = [float(m(10).calc(lists, target)) for m in (MAP, MRR, Recall)]
default = NDCG(10).calc(lists, target)
achievable = NDCG(10, divide_by_achievable=True).calc(lists, target)
print("NDCG", default, "achievable", achievable, "MAP, MRR, Recall", others)
assert others == [1.0, 1.0, 1.0]
assert np.isclose(default, 1 / sum(1 / np.log2(r + 1) for r in range(1, 11)))
assert achievable == 1.0
PY
