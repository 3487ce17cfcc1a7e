#!/usr/bin/env bash
# hnswlib: in cosine space, get_items doesn't return what add_items was given.
#
# Guess: an index keeps the vectors as they were added, and get_items returns them.
# Seen:  rows are scaled to length 1 on the way in; [3, 4] comes back as [0.6, 0.8]. The
#        lengths are lost, and with them every inner product. In space "ip" they stay.
# Bears on: keeping vectors only inside the index, then ranking them by inner product.
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

rows = np.array([[3, 4], [0.3, 0.4]], "f4")
kept = {}
for space in ("ip", "cosine"):
    index = hnswlib.Index(space, 2)
    index.init_index(2)
    index.add_items(rows, [0, 1])
    kept[space] = np.array(index.get_items([0, 1]))
    print(space, kept[space].tolist())

assert np.array_equal(kept["ip"], rows)
assert np.allclose(kept["cosine"], [[0.6, 0.8], [0.6, 0.8]])
PY
