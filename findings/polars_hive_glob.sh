#!/usr/bin/env bash
# polars: a Hive-partitioned folder loses its partition column when it is named by a glob.
#
# Guess: read_parquet("shop") and read_parquet("shop/**/*.parquet") read the same table.
# Seen:  the folder gives [item, category], the glob gives [item]. No warning; DuckDB's
#        glob over the same files gives both columns. hive_partitioning=True brings it back.
# Bears on: scripts that list files themselves.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import os
import polars as pl

for name in ("polars", "numpy"):
    print(name, version(name))

os.makedirs("shop/category=toys")
pl.DataFrame({"item": [1, 2]}).write_parquet("shop/category=toys/part.parquet")
columns = {
    "folder": pl.read_parquet("shop").columns,
    "glob": pl.read_parquet("shop/**/*.parquet").columns,
    "glob, told": pl.read_parquet("shop/**/*.parquet", hive_partitioning=True).columns,
}
print(columns)
assert columns == {
    "folder": ["item", "category"],
    "glob": ["item"],
    "glob, told": ["item", "category"],
}
PY
