#!/usr/bin/env bash
# safetensors: saving a transposed NumPy array stores other values under its shape.
#
# Guess: save_file either copies such a view into row order or refuses it, as the
#        PyTorch side of the library does.
# Seen:  the memory is written as it lies, under the shape of the view. A transposed, a
#        Fortran-ordered and a strided array come back with other values, no warning.
#        np.ascontiguousarray before saving gives the right file.
# Bears on: storing weights or features that a solver returned in Fortran order.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import numpy as np
from safetensors.numpy import load, save

for name in ("safetensors", "numpy"):
    print(name, version(name))

base = np.arange(12, dtype="f4").reshape(3, 4)
views = {"transposed": base.T, "fortran": np.asfortranarray(base), "strided": base[:, ::2]}
loaded = load(save(views))
for name, view in views.items():
    print(name, view.tolist(), "->", loaded[name].tolist())
    assert loaded[name].shape == view.shape
    assert not np.array_equal(loaded[name], view), name + " now survives"

copies = {name: np.ascontiguousarray(view) for name, view in views.items()}
loaded = load(save(copies))
assert all(np.array_equal(loaded[name], view) for name, view in views.items())
PY
