#!/usr/bin/env bash
# Hive folders: category=007 is the text "007" in DuckDB and the number 7 in three other readers.
#
# Guess: a folder's value is text, or at least of one type in all readers of one layout.
# Seen:  pyarrow, pandas and polars read int 7 (so does a filter == "007" no longer match);
#        DuckDB 2 keeps "007". One more folder, category=toys, and all four read "007".
# Bears on: partitioned catalogues whose keys have leading zeros, and a new key changing old rows.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  pyarrow==26.0.1 polars==2.1.0 duckdb==2.0.1 pandas==3.1.1 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import os
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

for name in ("pyarrow", "polars", "duckdb", "pandas", "numpy"):
    print(name, version(name))

def add(value):
    os.makedirs(f"shop/category={value}")
    pq.write_table(pa.table({"item": [1]}), f"shop/category={value}/part.parquet")

def read():
    return {
        "pyarrow": ds.dataset("shop", partitioning="hive").to_table()["category"].to_pylist(),
        "pandas": pd.read_parquet("shop")["category"].tolist(),
        "polars": pl.read_parquet("shop")["category"].to_list(),
        "duckdb": [r[0] for r in duckdb.sql("select category from 'shop/*/*.parquet'").fetchall()],
    }

add("007")
numbers = read()
print(numbers)
assert numbers == {"pyarrow": [7], "pandas": [7], "polars": [7], "duckdb": ["007"]}
add("toys")
texts = read()
print(texts)
assert all(sorted(values) == ["007", "toys"] for values in texts.values())
PY
