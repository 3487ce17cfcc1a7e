#!/usr/bin/env bash
# faiss: an id added twice stays twice, and one list names it twice.
#
# Guess: IndexIDMap replaces the vector of an id that it knows, or refuses the id.
# Seen:  both vectors stay. One top-2 list is [7, 7]; IndexIDMap2.reconstruct(7)
#        returns the vector that was added last; remove_ids removes both.
# Bears on: updating an item's vector in a served index.
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

index = faiss.IndexIDMap2(faiss.IndexFlatIP(2))
index.add_with_ids(np.array([[1, 0]], "f4"), np.array([7]))
index.add_with_ids(np.array([[0, 1]], "f4"), np.array([7]))
ids = index.search(np.array([[2, 1]], "f4"), 2)[1][0].tolist()
last = index.reconstruct(7).tolist()
print("entries", index.ntotal, "list", ids, "reconstruct", last)
assert ids == [7, 7]
assert last == [0, 1]

removed = index.remove_ids(np.array([7]))
print("removed", removed)
assert removed == 2 and index.ntotal == 0
PY
