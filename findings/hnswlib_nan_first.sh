#!/usr/bin/env bash
# hnswlib: an item with a NaN ranks first for every query; faiss never lists it.
#
# Guess: a row that can't be compared comes last, or is left out, in any index.
# Seen:  hnswlib (space "ip") returns the NaN item at rank 1, distance nan.
#        faiss IndexFlatIP leaves it out and fills the list with id -1.
# Bears on: one bad feature row among many, and checks on approximate search.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  hnswlib==0.8.0 faiss-cpu==1.15.1 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import faiss
import hnswlib
import numpy as np

for name in ("hnswlib", "faiss-cpu", "numpy"):
    print(name, version(name))

rows = np.array([[np.nan, 1], [1, 1], [2, 2]], "f4")
query = np.ones((1, 2), "f4")

graph = hnswlib.Index("ip", 2)
graph.init_index(3)
graph.add_items(rows, num_threads=1)
labels, distances = graph.knn_query(query, 3)
print("hnswlib", labels[0].tolist(), distances[0].tolist())
assert labels[0].tolist() == [0, 2, 1] and np.isnan(distances[0][0])

flat = faiss.IndexFlatIP(2)
flat.add(rows)
ids = flat.search(query, 3)[1][0].tolist()
print("faiss", ids)
assert ids == [2, 1, -1]
PY
