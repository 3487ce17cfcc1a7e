#!/usr/bin/env bash
# onnxruntime: ArgMax and TopK(k=1) name different elements when one is NaN.
#
# Guess: one rule for NaN: it wins (as in NumPy), or it loses.
# Seen:  TopK puts NaN first, wherever it stands. ArgMax and ReduceMax pass over NaN, unless it is the
#        first element: then ArgMax gives 0 and ReduceMax NaN.
# Bears on: exported models whose last step is one or the other.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper as h

for name in ("onnxruntime", "onnx", "numpy"):
    print(name, version(name))

nodes = [
    h.make_node("ArgMax", ["x"], ["argmax"], axis=0, keepdims=0),
    h.make_node("ReduceMax", ["x"], ["max"], keepdims=0),
    h.make_node("TopK", ["x", "k"], ["values", "top"]),
]
graph = h.make_graph(
    nodes,
    "g",
    [h.make_tensor_value_info("x", TensorProto.FLOAT, [3])],
    [h.make_empty_tensor_value_info(name) for name in ("argmax", "max", "top")],
    [h.make_tensor("k", TensorProto.INT64, [1], [1])],
)
model = h.make_model(graph, opset_imports=[h.make_opsetid("", 21)], ir_version=10)
session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
seen = []
for x in ([np.nan, 1, 2], [1, np.nan, 2], [1, 2, np.nan]):
    argmax, largest, top = session.run(None, {"x": np.array(x, "f4")})
    seen.append((int(argmax), int(top[0]), bool(np.isnan(largest))))
    print(x, "ArgMax", argmax, "ReduceMax", largest, "TopK", top, "NumPy", np.argmax(x))
assert seen == [(0, 0, True), (2, 1, False), (1, 2, False)]
PY
