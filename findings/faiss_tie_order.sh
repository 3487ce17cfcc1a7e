#!/usr/bin/env bash
# faiss: the first of several equal scores depends on how many are asked for.
#
# Guess: among equal scores the lowest id comes first, whatever k is, so that the
#        list for k = 1 is the head of the list for k = 5.
# Seen:  k = 1 gives [0]; k = 5 gives [4, 3, 2, 1, 0]; k = 100 gives 99 down to 0.
#        The k lowest ids are taken, and then listed from the highest down.
# Bears on: comparing top-k lists with an exact index, and hit@1 cut out of a top-10.
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

index = faiss.IndexFlatIP(8)
index.add(np.ones((500, 8), "f4"))
query = np.ones((1, 8), "f4")
lists = {k: index.search(query, k)[1][0].tolist() for k in (1, 5, 100)}
print(lists[1], lists[5], lists[100][:3], "...")

assert lists[1] == [0]
assert lists[5] == [4, 3, 2, 1, 0]
assert lists[100] == list(range(99, -1, -1))
PY
