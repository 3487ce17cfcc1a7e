#!/usr/bin/env bash
# hnswlib: the search width isn't part of the saved index.
#
# Guess: load_index gives an index that answers as the saved one did.
# Seen:  ef is 400 before saving and 10 after loading. On 3,000 vectors of 64 values, recall of
#        the ten nearest falls from 1.0 to 0.55 without a word.
# Bears on: any index built in one program and served by another.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check hnswlib==0.8.0 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import hnswlib
import numpy as np

for name in ("hnswlib", "numpy"):
    print(name, version(name))

rng = np.random.default_rng(0)
rows = rng.standard_normal((3000, 64), "f4")
queries = rng.standard_normal((100, 64), "f4")
exact = np.argsort(-(queries @ rows.T), axis=1)[:, :10]

def recall(index):
    found = index.knn_query(queries, 10, num_threads=1)[0]
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, found)]))

index = hnswlib.Index("ip", 64)
index.init_index(3000, ef_construction=200, M=16, random_seed=1)
index.add_items(rows, num_threads=1)
index.set_ef(400)
before = recall(index)
index.save_index("saved.bin")

loaded = hnswlib.Index("ip", 64)
loaded.load_index("saved.bin")
after = recall(loaded)
print("ef", index.ef, "->", loaded.ef, " recall", before, "->", after)
assert (index.ef, loaded.ef) == (400, 10)
assert before > after + 0.2
PY
