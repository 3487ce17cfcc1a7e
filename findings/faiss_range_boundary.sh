#!/usr/bin/env bash
# faiss: range_search leaves out what lies exactly on the radius.
#
# Guess: "within radius r" includes r: a score of exactly 0.5 meets the threshold 0.5.
# Seen:  inner product keeps scores > r, L2 keeps squared distances < r. A radius of 0
#        doesn't even find the exact duplicates of the query.
# Bears on: search for duplicates among feature rows, thresholds on similarity.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check faiss-cpu==1.15.1 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import faiss
import numpy as np

for name in ("faiss-cpu", "numpy"):
    print(name, version(name))

inner = faiss.IndexFlatIP(2)
inner.add(np.eye(2, dtype="f4"))
_, scores, ids = inner.range_search(np.array([[1.0, 0.5]], "f4"), 0.5)
print("inner product, threshold 0.5, scores 1.0 and 0.5:", ids, scores)
assert ids.tolist() == [0]

square = faiss.IndexFlatL2(2)
square.add(np.array([[0, 0], [0, 0], [1, 0]], "f4"))
origin = np.zeros((1, 2), "f4")
none = square.range_search(origin, 0.0)[2]
near = square.range_search(origin, 1.0)[2]
print("L2, radius 0:", none, " radius 1:", near)
assert none.tolist() == []
assert sorted(near.tolist()) == [0, 1]
PY
