#!/usr/bin/env bash
# polars, DuckDB: the 0.5 quantile isn't the median, and the two libraries miss it on opposite sides.
#
# Guess: quantile(0.5) is the median.
# Seen:  of 1, 2, 3, 4 the median is 2.5 in all three libraries. quantile(0.5) is 3.0 in polars
#        (nearest), 2 in DuckDB (lower) and 2.5 in NumPy.
# Bears on: history lengths and cut-offs computed in one tool and checked in another.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  polars==2.1.0 duckdb==2.0.1 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import duckdb
import numpy as np
import polars as pl

for name in ("polars", "duckdb", "numpy"):
    print(name, version(name))

s = pl.Series([1, 2, 3, 4])
duck = duckdb.sql("select median(x), quantile(x, 0.5) from (values (1), (2), (3), (4)) t(x)").fetchall()[0]
seen = {
    "polars": (s.median(), s.quantile(0.5)),
    "duckdb": duck,
    "numpy": (float(np.median(s)), float(np.quantile(s, 0.5))),
}
print("median, quantile(0.5):", seen)
assert seen == {"polars": (2.5, 3.0), "duckdb": (2.5, 2), "numpy": (2.5, 2.5)}
PY
