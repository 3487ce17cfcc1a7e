#!/usr/bin/env bash
# JSON lines: a key that first appears late in the file is dropped without a word by polars and
# DuckDB, and kept by pyarrow and pandas.
#
# Guess: a key that the sampled head lacks becomes a column with nulls, or is an error.
# Seen:  60,000 rows, "price" from row 50,000 on: polars and DuckDB return the table without the
#        column. pyarrow and pandas return it.
# Bears on: catalogues where a field was introduced one day, sorted by date.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  polars==2.1.0 duckdb==2.0.1 pyarrow==26.0.1 pandas==3.1.1 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import json
import duckdb
import pandas as pd
import polars as pl
import pyarrow.json

for name in ("polars", "duckdb", "pyarrow", "pandas", "numpy"):
    print(name, version(name))

with open("items.jsonl", "w") as f:
    for i in range(60_000):
        row = {"item": i, "price": i} if i >= 50_000 else {"item": i}
        f.write(json.dumps(row) + "\n")
columns = {
    "polars": pl.read_ndjson("items.jsonl").columns,
    "duckdb": duckdb.sql("select * from 'items.jsonl'").columns,
    "pyarrow": pyarrow.json.read_json("items.jsonl").column_names,
    "pandas": pd.read_json("items.jsonl", lines=True).columns.tolist(),
}
print(columns)
assert columns["polars"] == ["item"] and columns["duckdb"] == ["item"]
assert columns["pyarrow"] == ["item", "price"] and columns["pandas"] == ["item", "price"]
PY
