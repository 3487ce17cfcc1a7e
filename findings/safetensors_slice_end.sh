#!/usr/bin/env bash
# safetensors: get_slice takes half of what a NumPy slice takes.
#
# Guess: an object indexed with [...] follows NumPy: s[-2:] is the last two rows, and
#        s[0:99] ends at the last row.
# Seen:  s[-1], s[:, -1], s[::2] and s[..., 1] work, and s[0:3] does. s[-2:] is an OverflowError,
#        s[0:99] of 3 rows is an error about index 98.
# Bears on: reading tables in blocks, where the last block is shorter.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

for name in ("safetensors", "numpy"):
    print(name, version(name))

table = np.arange(12, dtype="f4").reshape(3, 4)
save_file({"table": table}, "table.safetensors")
with safe_open("table.safetensors", "np") as f:
    s = f.get_slice("table")
    assert np.array_equal(s[-1], table[-1])
    assert np.array_equal(s[:, -1], table[:, -1])
    assert np.array_equal(s[::2], table[::2])
    assert np.array_equal(s[0:3], table[0:3])
    for text, key, kind in (
        ("s[-2:]", slice(-2, None), OverflowError),
        ("s[0:99]", slice(0, 99), SafetensorError),
    ):
        try:
            s[key]
        except kind as e:
            print(text, "->", type(e).__name__ + ":", e)
        else:
            raise AssertionError(text + " works now")
PY
