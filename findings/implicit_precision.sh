#!/usr/bin/env bash
# implicit: precision_at_k can be 1.0 with one hit in a list of three.
#
# Guess: precision@k is hits / k: 1/3.
# Seen:  hits are divided by min(k, number of held-out items of the user), summed over users; with one
#        held-out item per user that is the hit rate, and "precision" reaches 1.0.
# Bears on: comparing published numbers of leave-one-out evaluations.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  implicit==0.7.3 scipy==1.17.1 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import numpy as np
import scipy.sparse as sp
from implicit.evaluation import ranking_metrics_at_k

for name in ("implicit", "scipy", "numpy"):
    print(name, version(name))

class Fixed:
    """Recommends items 0, 1 and 2 to every user, in this order."""

    def recommend(self, userid, user_items, N=10, **_):
        ids = np.tile(np.arange(3, dtype="i4"), (len(userid), 1))[:, :N]
        return ids, np.tile(np.array([3.0, 2.0, 1.0], "f4"), (len(userid), 1))[:, :N]

train = sp.csr_matrix(np.array([[0, 0, 0, 1], [0, 0, 0, 1]], "f4"))
test = sp.csr_matrix(np.array([[0, 1, 0, 0], [0, 0, 1, 0]], "f4"))
seen = ranking_metrics_at_k(Fixed(), train, test, K=3, show_progress=False)
print(seen)
assert seen["precision"] == 1.0
PY
