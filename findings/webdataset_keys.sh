#!/usr/bin/env bash
# webdataset: a sample's name ends at its first dot, and its files must lie side by side.
#
# Guess: B01.1.jpg and B01.2.jpg are two samples, and A.jpg ... A.txt are joined by name.
# Seen:  the first two are one sample, B01, with columns "1.jpg" and "2.jpg", and no "jpg".
#        A.jpg, B.jpg, A.txt, B.txt, in this order, are four samples with one file each, no warning.
# Bears on: item ids with dots, and shards written one folder after the other.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check webdataset==1.0.2 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import io
import tarfile
import webdataset as wds

for name in ("webdataset", "numpy"):
    print(name, version(name))

def samples(*files):
    with tarfile.open("shard.tar", "w") as tar:
        for file in files:
            entry = tarfile.TarInfo(file)
            entry.size = 1
            tar.addfile(entry, io.BytesIO(b"x"))
    return [
        (s["__key__"], sorted(k for k in s if not k.startswith("__")))
        for s in wds.WebDataset("shard.tar", shardshuffle=False)
    ]

dots, apart = samples("B01.1.jpg", "B01.2.jpg"), samples("A.jpg", "B.jpg", "A.txt", "B.txt")
print(dots, apart)
assert dots == [("B01", ["1.jpg", "2.jpg"])]
assert apart == [("A", ["jpg"]), ("B", ["jpg"]), ("A", ["txt"]), ("B", ["txt"])]
PY
