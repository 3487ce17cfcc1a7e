#!/usr/bin/env bash
# Pillow: resizing a palette picture with BICUBIC uses NEAREST, without a word.
#
# Guess: the filter that was asked for is used, or the picture is refused.
# Seen:  for mode "P" (GIF, many PNG) and mode "1" the result for BICUBIC equals NEAREST bit for bit.
#        Converting to RGB first gives other pixels, by up to 13 grey levels on a plain gradient.
# Bears on: the order of "convert to RGB" and "resize" in front of an image encoder.
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

ramp = (np.add.outer(np.arange(64), np.arange(64)) * 2).astype("u1")
palette = Image.fromarray(ramp).convert("RGB").quantize(16)
size = (20, 20)
bicubic = palette.resize(size, Image.Resampling.BICUBIC)
nearest = palette.resize(size, Image.Resampling.NEAREST)
rgb_first = palette.convert("RGB").resize(size, Image.Resampling.BICUBIC)
gap = np.abs(np.asarray(bicubic.convert("RGB")).astype(int) - np.asarray(rgb_first)).max()
same = np.array_equal(np.asarray(bicubic), np.asarray(nearest))
print("mode", palette.mode, "BICUBIC equals NEAREST:", same, " difference to RGB first:", gap)
assert palette.mode == "P" and same and gap > 5
PY
