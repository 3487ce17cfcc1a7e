#!/usr/bin/env bash
# DuckDB: casting "2024-01-01T10:00:00+02:00" to TIMESTAMP drops the offset.
#
# Guess: the offset is applied (08:00 in UTC) or the cast is refused.
# Seen:  it is 10:00:00, as if the offset weren't there, so that two spellings of one instant differ
#        by two hours. Through TIMESTAMPTZ the two are equal.
# Bears on: logs that mix "Z" and local offsets, read with a declared TIMESTAMP column.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import datetime as dt
import duckdb

for name in ("duckdb",):
    print(name, version(name))

duckdb.sql("set timezone = 'UTC'")
local, utc = "2024-01-01T10:00:00+02:00", "2024-01-01T08:00:00Z"
a, b, same = duckdb.sql(
    f"select '{local}'::timestamp, '{utc}'::timestamp, '{local}'::timestamptz = '{utc}'::timestamptz"
).fetchall()[0]
print(local, "->", a, "|", utc, "->", b, "| equal as TIMESTAMPTZ:", same)
assert a == dt.datetime(2024, 1, 1, 10) and b == dt.datetime(2024, 1, 1, 8)
assert same is True
PY
