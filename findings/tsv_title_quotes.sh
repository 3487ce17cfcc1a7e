#!/usr/bin/env bash
# Tab-separated titles: one file of 7 rows has 5 rows in pandas and pyarrow, 7 in DuckDB, and is an
# error in polars.
#
# Guess: in a tab-separated file a quote is a character of the title, or all readers treat it alike.
# Seen:  a title that begins with a quote opens a quoted field. pandas and pyarrow swallow the
#        following lines up to the next quote into one title, and drop the quotes of '"Weird Al"
#        Live'; polars refuses that title; DuckDB notices that quotes mean nothing here.
# Bears on: item tables in the style of RecBole's .item, written without any quoting.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  pandas==3.1.1 pyarrow==26.0.1 duckdb==2.0.1 polars==2.1.0 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import duckdb
import pandas as pd
import polars as pl
import pyarrow.csv as pc

for name in ("pandas", "pyarrow", "duckdb", "polars", "numpy"):
    print(name, version(name))

titles = ["Plain", '"Weird Al" Live', "Other", '"Open', "Lost", 'End"', "Last"]
with open("items.tsv", "w") as f:
    f.write("id\ttitle\n" + "".join(f"{i}\t{t}\n" for i, t in enumerate(titles)))
tab = pc.ParseOptions(delimiter="\t")
read = {
    "pandas": pd.read_csv("items.tsv", sep="\t")["title"].tolist(),
    "pyarrow": pc.read_csv("items.tsv", parse_options=tab)["title"].to_pylist(),
    "duckdb": [r[0] for r in duckdb.sql("select title from read_csv('items.tsv')").fetchall()],
}
for name, found in read.items():
    print(name, len(found), found)
swallowed = ["Plain", "Weird Al Live", "Other", "Open\n4\tLost\n5\tEnd", "Last"]
assert read["pandas"] == read["pyarrow"] == swallowed
assert read["duckdb"] == titles
try:
    pl.read_csv("items.tsv", separator="\t")
except pl.exceptions.ComputeError as e:
    print("polars:", str(e).splitlines()[0])
else:
    raise AssertionError("polars reads it now")
PY
