#!/usr/bin/env bash
# DuckDB: how 2.5 is rounded to an integer depends on whether it is a DECIMAL or a DOUBLE.
#
# Guess: a cast to integer truncates, as in Python and polars, or rounds in one way.
# Seen:  2.5 (a literal is DECIMAL) becomes 3 and 2.5::DOUBLE becomes 2; 3.5 becomes 4 both ways.
#        Epoch seconds 1704067200.7 become 1704067201, one second late.
# Bears on: turning ratings or fractional epoch seconds into integers.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import duckdb

for name in ("duckdb",):
    print(name, version(name))

query = "select 2.5::int, 2.5::double::int, 3.5::int, 3.5::double::int, 1704067200.7::double::bigint"
row = duckdb.sql(query).fetchall()[0]
print(query, "->", row)
assert row == (3, 2, 4, 4, 1704067201)
PY
