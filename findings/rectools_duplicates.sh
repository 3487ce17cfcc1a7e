#!/usr/bin/env bash
# RecTools: a repeated item raises the metrics, and ranks from 0 make them infinite.
#
# Guess: an item counts once, repeated lists are refused, and a rank of 0 is refused.
# Seen:  the same item listed twice doubles Precision@10 (0.1 to 0.2) while Recall stays 1.0; a repeated
#        row in the targets doubles NDCG@10. With ranks 0, 1 NDCG and MRR are inf.
# Bears on: evaluating lists or logs with exact duplicates.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  rectools==0.19.0 pandas==2.3.3 numpy==1.26.4

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import warnings

warnings.simplefilter("ignore")
import pandas as pd
from rectools.metrics import MRR, NDCG, Precision, Recall

for name in ("rectools", "pandas", "numpy"):
    print(name, version(name))

target = pd.DataFrame({"user_id": [1], "item_id": [10]})
once = pd.DataFrame({"user_id": [1, 1], "item_id": [10, 11], "rank": [1, 2]})
twice = once.assign(item_id=[10, 10])
seen = {
    "precision": (Precision(10).calc(once, target), Precision(10).calc(twice, target)),
    "recall": (Recall(10).calc(once, target), Recall(10).calc(twice, target)),
    "targets twice": (NDCG(10).calc(once, target), NDCG(10).calc(once, pd.concat([target, target]))),
    "ranks from 0": tuple(m(10).calc(once.assign(rank=[0, 1]), target) for m in (NDCG, MRR)),
}
print({name: tuple(map(float, pair)) for name, pair in seen.items()})
assert seen["precision"] == (0.1, 0.2)
assert seen["recall"] == (1.0, 1.0)
assert abs(seen["targets twice"][1] - 2 * seen["targets twice"][0]) < 1e-9
assert seen["ranks from 0"] == (float("inf"), float("inf"))
PY
