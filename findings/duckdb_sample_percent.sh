#!/usr/bin/env bash
# DuckDB: USING SAMPLE 10% of a small table returns all rows or none.
#
# Guess: about a tenth of the rows.
# Seen:  percentages are drawn by blocks of 2,048 rows: 200 draws from 100 rows give 0 or 100 rows and
#        nothing between. "10 PERCENT (bernoulli)" and "10 ROWS" do what one expects.
# Bears on: sampling users for a quick evaluation.
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

def draws(sample, n):
    query = f"select count(*) from (select * from range(100) using sample {sample})"
    return {duckdb.sql(query).fetchall()[0][0] for _ in range(n)}

block, single, rows = draws("10%", 200), draws("10 percent (bernoulli)", 200), draws("10 rows", 20)
print("10%:", sorted(block), " bernoulli:", sorted(single), " 10 rows:", sorted(rows))
assert block == {0, 100}
assert len(single) > 5 and max(single) < 50
assert rows == {10}
PY
