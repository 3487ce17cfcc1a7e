#!/usr/bin/env bash
# usearch: with dtype "i8", the metric "ip" ranks by direction and not by inner product.
#
# Guess: eight bits are coarse, but a vector ten times as long still scores higher.
# Seen:  every vector is scaled to length 1 before it is rounded. [0.5, 0], [1, 0] and
#        [5, 0] are all kept as [127, 0], and [1, 0] (inner product 1) beats [5, 5] (5).
# Bears on: quantised search over item vectors whose length carries popularity.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check usearch==2.26.6 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import numpy as np
from usearch.index import Index

for name in ("usearch", "numpy"):
    print(name, version(name))

rows = np.array([[0.5, 0], [1, 0], [5, 0], [5, 5]], "f4")
query = np.array([1, 0], "f4")
order = {}
for dtype in ("f32", "i8"):
    index = Index(ndim=2, metric="ip", dtype=dtype)
    index.add(np.arange(4), rows)
    order[dtype] = index.search(query, 4).keys.tolist()
    print(dtype, "stored", np.array(index.get(np.arange(4))).tolist(), "order", order[dtype])

assert set(order["f32"][:2]) == {2, 3}, "by inner product the long ones lead"
assert order["i8"][-1] == 3, "by direction [5, 5] is last"
kept = np.array(index.get(np.arange(3)))
assert (kept == [127, 0]).all()
PY
