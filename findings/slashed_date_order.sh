#!/usr/bin/env bash
# Slashed dates: polars reads 01/02/2024 as 1 February, pandas as 2 January.
#
# Guess: libraries refuse an ambiguous date without a format, or share one order.
# Seen:  polars' str.to_date() tries day first, pandas' to_datetime() month first, both without a
#        warning; a cast in DuckDB refuses it.
# Bears on: shop exports prepared with either library.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  polars==2.1.0 pandas==3.1.1 duckdb==2.0.1 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import datetime as dt
import duckdb
import pandas as pd
import polars as pl

for name in ("polars", "pandas", "duckdb", "numpy"):
    print(name, version(name))

text = "01/02/2024"
in_polars = pl.Series([text]).str.to_date()[0]
in_pandas = pd.to_datetime(pd.Series([text]))[0].date()
in_duckdb = duckdb.sql(f"select try_cast('{text}' as date)").fetchall()[0][0]
print(text, "polars", in_polars, "pandas", in_pandas, "DuckDB", in_duckdb)
assert in_polars == dt.date(2024, 2, 1)
assert in_pandas == dt.date(2024, 1, 2)
assert in_duckdb is None
PY
