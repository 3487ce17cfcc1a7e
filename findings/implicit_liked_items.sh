#!/usr/bin/env bash
# implicit: filter_already_liked_items=True still lists liked items when the list is long enough.
#
# Guess: liked items never appear; the list is shorter.
# Seen:  a matrix factorisation ends the list with the liked items at a score of -3.4e38; an item-item
#        model ends it with them at 0.0, a score that real recommendations can have.
# Bears on: lists written to a file without their scores.
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

users = sp.csr_matrix(np.array([[1, 1, 0, 0], [0, 1, 1, 0], [1, 1, 1, 1]], "f4"))
ends = {}
for model in (AlternatingLeastSquares(factors=4, random_state=0, num_threads=1), CosineRecommender(K=4)):
    model.fit(users, show_progress=False)
    ids, scores = model.recommend(0, users[0], N=4, filter_already_liked_items=True)
    name = type(model).__name__
    print(name, ids.tolist(), scores.tolist())
    ends[name] = scores[-2:]
    assert sorted(ids[-2:].tolist()) == [0, 1], "the two liked items end the list"
assert (ends["AlternatingLeastSquares"] < -3e38).all()
assert (ends["CosineRecommender"] == 0).all()
PY
