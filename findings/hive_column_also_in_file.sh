#!/usr/bin/env bash
# Hive folders: a column that stands in the file too is replaced by the folder's value, save in
# pyarrow.parquet, which refuses.
#
# Guess: readers refuse the conflict, or keep the values that are stored in the file.
# Seen:  polars, DuckDB and pyarrow.dataset return the folder's "toys" for rows whose file says
#        "books" and "games", without a word; pyarrow.parquet.read_table refuses the same folder.
#        The file alone gives "books" and "games" in polars and DuckDB.
# Bears on: catalogues exported per category that keep a finer category inside.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  pyarrow==26.0.1 polars==2.1.0 duckdb==2.0.1 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import os
import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

for name in ("pyarrow", "polars", "duckdb", "numpy"):
    print(name, version(name))

os.makedirs("shop/category=toys")
file = "shop/category=toys/part.parquet"
pq.write_table(pa.table({"category": ["books", "games"]}), file)
folder = {
    "polars": pl.read_parquet("shop")["category"].to_list(),
    "duckdb": [r[0] for r in duckdb.sql("select category from 'shop/*/*.parquet'").fetchall()],
    "pyarrow.dataset": ds.dataset("shop", partitioning="hive").to_table()["category"].to_pylist(),
}
alone = pl.read_parquet(file)["category"].to_list()
print("folder", folder, " file alone", alone)
assert all(values == ["toys", "toys"] for values in folder.values())
assert alone == ["books", "games"]
try:
    pq.read_table("shop")
except pa.ArrowTypeError as e:
    print("pyarrow.parquet:", e)
else:
    raise AssertionError("pyarrow.parquet reads it now")
PY
