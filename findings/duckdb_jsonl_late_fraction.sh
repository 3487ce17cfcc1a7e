#!/usr/bin/env bash
# DuckDB: a fraction that first appears late in JSON lines is rounded to an integer.
#
# Guess: a value that doesn't fit the type guessed from the sample is an error, as a text is.
# Seen:  whole numbers in the first 50,000 rows make the column BIGINT, and 4.5 further down is
#        read as 4, 59999.5 as 60000. A text at the same place is an error.
# Bears on: ratings with halves, and epoch seconds with fractions, in sorted logs.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import json
import duckdb

for name in ("duckdb",):
    print(name, version(name))

def write(late):
    with open("log.jsonl", "w") as f:
        for i in range(60_000):
            f.write(json.dumps({"row": i, "rating": i % 5 if i < 50_000 else late(i)}) + "\n")

write(lambda i: 4.5 if i < 59_999 else 59999.5)
table = duckdb.sql("select row, rating, typeof(rating) from 'log.jsonl' where row in (50000, 59999) order by row")
rows = table.fetchall()
print(rows)
assert rows == [(50000, 4, "BIGINT"), (59999, 60000, "BIGINT")]

write(lambda i: "good")
try:
    duckdb.sql("select max(rating) from 'log.jsonl'").fetchall()
except duckdb.InvalidInputException as e:
    print("text:", str(e).splitlines()[0][:90])
else:
    raise AssertionError("a late text is no error now")
PY
