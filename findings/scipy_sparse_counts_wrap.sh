#!/usr/bin/env bash
# scipy: repeated (user, item) pairs are added up in the type of the ones, and wrap.
#
# Guess: adding up duplicates widens small integers, as np.sum does.
# Seen:  300 repeats of a uint8 1 become 44, 256 become 0 (a stored zero: nnz stays 1),
#        200 repeats of an int8 1 become -56. No warning.
# Bears on: play counts from an interaction log, with ones(len(log), "u1") as values.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import numpy as np
import scipy.sparse as sp

for name in ("scipy", "numpy"):
    print(name, version(name))

def count(n, dtype):
    at = np.zeros(n, int)
    return sp.coo_array((np.ones(n, dtype), (at, at)), shape=(1, 1)).tocsr()

for n, dtype, seen in ((300, "u1", 44), (256, "u1", 0), (200, "i1", -56), (300, "i4", 300)):
    matrix = count(n, dtype)
    print(n, dtype, "->", matrix[0, 0], "stored", matrix.nnz)
    assert matrix[0, 0] == seen and matrix.nnz == 1
assert np.ones(300, "u1").sum() == 300
PY
