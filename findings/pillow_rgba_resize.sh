#!/usr/bin/env bash
# Pillow: resizing a transparent picture turns the colour under transparency black.
#
# Guess: convert("RGB") ignores alpha, so resize then convert equals convert then resize.
# Seen:  white everywhere, half of it transparent: convert then resize is white; resize then convert is
#        black in the transparent half. Alpha is multiplied in for the filter, which empties
#        such pixels. With the same size as before, or with NEAREST, it stays white.
# Bears on: product pictures cut out on a transparent ground.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import numpy as np
from PIL import Image

for name in ("pillow", "numpy"):
    print(name, version(name))

rows = np.full((8, 8, 4), 255, "u1")
rows[4:, :, 3] = 0
cutout = Image.fromarray(rows)
half, same = (4, 4), (8, 8)
bilinear, nearest = Image.Resampling.BILINEAR, Image.Resampling.NEAREST
darkest = {
    "convert, resize": np.asarray(cutout.convert("RGB").resize(half, bilinear)).min(),
    "resize, convert": np.asarray(cutout.resize(half, bilinear).convert("RGB")).min(),
    "same size": np.asarray(cutout.resize(same, bilinear).convert("RGB")).min(),
    "nearest": np.asarray(cutout.resize(half, nearest).convert("RGB")).min(),
}
print({name: int(value) for name, value in darkest.items()})
assert list(darkest.values()) == [255, 0, 255, 255]
PY
