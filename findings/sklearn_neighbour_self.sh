#!/usr/bin/env bash
# scikit-learn: a row isn't always its own first neighbour.
#
# Guess: kneighbors(X) on the fitted rows lists each row itself first, so that dropping the
#        first column leaves the true neighbours.
# Seen:  with three equal rows, row 2 gets [0, 1] and never itself; dropping the first column
#        loses a true neighbour. kneighbors() without an argument leaves out the row by index.
# Bears on: item-to-item lists where several items share one text or picture.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import numpy as np
from sklearn.neighbors import NearestNeighbors

for name in ("scikit-learn", "numpy"):
    print(name, version(name))

rows = np.array([[1.0, 0], [1, 0], [1, 0], [0, 1]])
model = NearestNeighbors(n_neighbors=2, metric="cosine", algorithm="brute").fit(rows)
with_rows = model.kneighbors(rows, return_distance=False)
without = model.kneighbors(return_distance=False)
print("kneighbors(X)", with_rows.tolist(), " kneighbors()", without.tolist())
assert 2 not in with_rows[2]
assert all(row not in found for row, found in enumerate(without))
PY
