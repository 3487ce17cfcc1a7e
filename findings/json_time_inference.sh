#!/usr/bin/env bash
# pyarrow: the type of a JSON date string depends on whether it has a fraction of a second.
#
# Guess: strings in JSON stay strings, or all ISO date-times become timestamps.
# Seen:  pyarrow.json makes "2019-05-05 14:08:48" a timestamp[s] and leaves "2019-05-05
#        14:08:48.282" a string. With "+02:00" it becomes 12:08:48 without a zone. DuckDB makes
#        all three times, the last one with a zone; polars leaves all three strings.
# Bears on: review files whose time column changes type from one file to the next.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  pyarrow==26.0.1 duckdb==2.0.1 polars==2.1.0 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import datetime as dt
import io
import json
import duckdb
import polars as pl
import pyarrow.json

for name in ("pyarrow", "duckdb", "polars", "numpy"):
    print(name, version(name))

seen = {}
for text in ("2019-05-05 14:08:48", "2019-05-05 14:08:48.282", "2019-05-05T14:08:48+02:00"):
    line = json.dumps({"t": text}).encode()
    with open("t.jsonl", "wb") as f:
        f.write(line + b"\n")
    column = pyarrow.json.read_json(io.BytesIO(line))["t"]
    duck = duckdb.sql("select typeof(t) from 't.jsonl'").fetchall()[0][0]
    seen[text] = (str(column.type), column[0].as_py(), duck, str(pl.read_ndjson("t.jsonl")["t"].dtype))
    print(text, "->", *seen[text], sep=" | ")
whole, fraction, zone = seen.values()
assert whole == ("timestamp[s]", dt.datetime(2019, 5, 5, 14, 8, 48), "TIMESTAMP", "String")
assert fraction[0] == "string" and fraction[2:] == ("TIMESTAMP", "String")
assert zone == ("timestamp[s]", dt.datetime(2019, 5, 5, 12, 8, 48), "TIMESTAMP WITH TIME ZONE", "String")
PY
