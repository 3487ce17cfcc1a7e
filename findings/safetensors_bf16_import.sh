#!/usr/bin/env bash
# safetensors: whether NumPy can load bfloat16 depends on an import elsewhere in the program.
#
# Guess: load_file() of a bfloat16 tensor works or not, by what is installed.
# Seen:  it is a TypeError until some module has imported ml_dtypes; after that import,
#        which registers the type by name, the same call on the same file succeeds.
# Bears on: tests that pass together and fail alone.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  safetensors==0.8.0 ml_dtypes==0.5.4 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import json
import struct
import numpy as np
from safetensors.numpy import load_file

for name in ("safetensors", "ml_dtypes", "numpy"):
    print(name, version(name))

header = json.dumps({"x": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
values = np.array([0x3F80, 0x4000], "<u2").tobytes()
with open("x.safetensors", "wb") as f:
    f.write(struct.pack("<Q", len(header)) + header + values)
try:
    load_file("x.safetensors")
except TypeError as e:
    print("before:", e)
else:
    raise AssertionError("bfloat16 loads without ml_dtypes now")

import ml_dtypes  # noqa: E402

x = load_file("x.safetensors")["x"]
print("after:", x.dtype, x.astype("f4").tolist())
assert x.dtype == ml_dtypes.bfloat16 and x.astype("f4").tolist() == [1.0, 2.0]
PY
