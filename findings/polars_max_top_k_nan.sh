#!/usr/bin/env bash
# polars: max() and top_k(1) of one column disagree when it holds a NaN.
#
# Guess: the best value is one value; either NaN counts as largest or it is passed over.
# Seen:  max(), arg_max() and cum_max() pass over NaN and give 3.0; top_k(1) and sort(descending).first()
#        give NaN; mean() is NaN. In DuckDB max() and the sort agree: NaN is the largest.
# Bears on: picking the best epoch or the best items with expressions that look the same.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  polars==2.1.0 duckdb==2.0.1 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import math
import duckdb
import polars as pl

for name in ("polars", "duckdb", "numpy"):
    print(name, version(name))

s = pl.Series([1.0, math.nan, 3.0])
best = {"max": s.max(), "arg_max": s[s.arg_max()], "top_k": s.top_k(1)[0], "sort": s.sort(descending=True)[0]}
duck = duckdb.sql(
    "select max(x), first(x order by x desc) from (values (1.0::double), ('nan'::double), (3.0)) t(x)"
).fetchall()[0]
print("polars", best, " DuckDB", duck)
assert best["max"] == best["arg_max"] == 3.0
assert math.isnan(best["top_k"]) and math.isnan(best["sort"])
assert all(math.isnan(x) for x in duck)
PY
