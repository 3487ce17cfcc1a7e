#!/usr/bin/env bash
# scikit-learn: top_k_accuracy_score breaks ties for the last class, ndcg_score for none.
#
# Guess: among equal scores the lower index comes first, or both metrics share one rule.
# Seen:  with all scores equal, top-1 accuracy is 1.0 if the last class is right and 0.0 for
#        the others; ndcg_score(k=1) gives each of them 1/n. So a model with constant
#        scores reaches 100 % where the last class is the target.
# Bears on: scores with many ties (popularity, rounded logits).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import numpy as np
from sklearn.metrics import ndcg_score, top_k_accuracy_score

for name in ("scikit-learn", "numpy"):
    print(name, version(name))

n = 4
scores = np.full((1, n), 0.5)
top1 = [float(top_k_accuracy_score([c], scores, k=1, labels=range(n))) for c in range(n)]
top2 = [float(top_k_accuracy_score([c], scores, k=2, labels=range(n))) for c in range(n)]
ndcg = [float(ndcg_score(np.eye(n)[[c]], scores, k=1)) for c in range(n)]
print("top-1", top1, "top-2", top2, "ndcg@1", ndcg)
assert top1 == [0, 0, 0, 1] and top2 == [0, 0, 1, 1]
assert np.allclose(ndcg, 1 / n)
PY
