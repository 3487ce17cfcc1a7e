#!/usr/bin/env bash
# polars: explode drops a row with an empty list and keeps a row with a null list.
#
# Guess: both rows stay with a null, as in pandas, or both go, as in SQL.
# Seen:  users 1 (two items), 2 (empty list), 3 (null): pandas keeps 1, 2, 3; DuckDB's unnest
#        keeps 1; polars keeps 1 and 3.
# Bears on: users without a history between two steps of a pipeline.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  polars==2.1.0 duckdb==2.0.1 pandas==3.1.1 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import duckdb
import pandas as pd
import polars as pl

for name in ("polars", "duckdb", "pandas", "numpy"):
    print(name, version(name))

data = {"user": [1, 2, 3], "items": [[10, 11], [], None]}
users = {
    "polars": pl.DataFrame(data).explode("items")["user"].to_list(),
    "pandas": pd.DataFrame(data).explode("items")["user"].tolist(),
    "duckdb": [
        r[0]
        for r in duckdb.sql(
            "select u, unnest(i) from (values (1, [10, 11]), (2, []), (3, null)) t(u, i)"
        ).fetchall()
    ],
}
print(users)
assert users == {"polars": [1, 1, 3], "pandas": [1, 1, 2, 3], "duckdb": [1, 1]}
PY
