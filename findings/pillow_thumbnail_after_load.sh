#!/usr/bin/env bash
# Pillow: thumbnail() of one JPEG file gives other pixels once the picture has been looked at.
#
# Guess: thumbnail(size) is resize(size) in place, and reading a pixel first changes nothing.
# Seen:  on a file not yet decoded, the decoder itself shrinks by 2, 4 or 8 first; after load() it
#        can't. On a 1024 x 1024 JPEG to 128 x 128 the two differ by up to 8 levels, and both
#        differ from resize(), which has no reducing_gap by default.
# Bears on: features computed twice by code that differs only in a size check.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pillow==13.0.0 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import io
import numpy as np
from PIL import Image

for name in ("pillow", "numpy"):
    print(name, version(name))

rng = np.random.default_rng(0)
noise = Image.fromarray(rng.integers(0, 256, (512, 512, 3), dtype="u1"))
file = io.BytesIO()
noise.resize((1024, 1024), Image.Resampling.BICUBIC).save(file, "JPEG", quality=95)

def picture():
    return Image.open(io.BytesIO(file.getvalue()))

fresh, loaded = picture(), picture()
loaded.load()
for p in (fresh, loaded):
    p.thumbnail((128, 128))
plain = picture().resize((128, 128), Image.Resampling.BICUBIC)
a, b, c = (np.asarray(p).astype(int) for p in (fresh, loaded, plain))
print("fresh/loaded", np.abs(a - b).max(), "fresh/resize", np.abs(a - c).max(), "loaded/resize", np.abs(b - c).max())
assert np.abs(a - b).max() > 2
assert np.abs(a - c).max() > 2 and np.abs(b - c).max() > 2
PY
