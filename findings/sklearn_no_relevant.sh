#!/usr/bin/env bash
# scikit-learn: a user with nothing relevant scores 1.0 by one ranking metric and 0.0 by another.
#
# Guess: the ranking metrics agree on such a user: all 0, all NaN, or all an error.
# Seen:  ndcg_score gives 0.0, label_ranking_average_precision_score gives 1.0 (best),
#        label_ranking_loss gives 0.0 (best), coverage_error 0.0 (below its minimum of 1).
# Bears on: averages over users of whom some have an empty target.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import numpy as np
from sklearn.metrics import (
    coverage_error,
    label_ranking_average_precision_score as lrap,
    label_ranking_loss,
    ndcg_score,
)

for name in ("scikit-learn", "numpy"):
    print(name, version(name))

target, scores = np.zeros((1, 4), int), np.array([[0.4, 0.3, 0.2, 0.1]])
seen = {f.__name__: float(f(target, scores)) for f in (ndcg_score, lrap, label_ranking_loss, coverage_error)}
print(seen)
assert seen == {
    "ndcg_score": 0.0,
    "label_ranking_average_precision_score": 1.0,
    "label_ranking_loss": 0.0,
    "coverage_error": 0.0,
}
PY
