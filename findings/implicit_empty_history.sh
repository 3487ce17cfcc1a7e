#!/usr/bin/env bash
# implicit: a user without a history gets the first items of the catalogue, backwards, at score 0.
#
# Guess: popular items, an empty list or an error.
# Seen:  the factor of such a user is zero, every score is 0.0, and the list is the first items of
#        the catalogue from the last to the first: [2, 1, 0]. An item-item model returns an empty list for one user, and a row of -1
#        for the same user in a batch.
# Bears on: baselines evaluated over users who lost all their items in a split.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  implicit==0.7.3 scipy==1.17.1 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np
import scipy.sparse as sp
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender

for name in ("implicit", "scipy", "numpy"):
    print(name, version(name))

users = sp.csr_matrix(np.array([[1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0], [0] * 6, [1, 0, 0, 0, 0, 1]], "f4"))
factors = AlternatingLeastSquares(factors=4, random_state=0, num_threads=1)
factors.fit(users, show_progress=False)
ids, scores = factors.recommend(2, users[2], N=3)
print("factors", ids.tolist(), scores.tolist())
assert ids.tolist() == [2, 1, 0] and scores.tolist() == [0, 0, 0]

items = CosineRecommender(K=4)
items.fit(users, show_progress=False)
alone = items.recommend(2, users[2], N=3)[0].tolist()
batch = items.recommend([0, 2], users[[0, 2]], N=3)[0][1].tolist()
print("item-item, alone", alone, "in a batch", batch)
assert alone == [] and batch == [-1, -1, -1]
PY
