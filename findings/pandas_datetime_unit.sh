#!/usr/bin/env bash
# pandas: the integers behind a parsed time column are micro- or nanoseconds, by the data.
#
# Guess: to_datetime gives one unit, so that astype("int64") // 10**9 is epoch seconds.
# Seen:  pandas 3 gives datetime64[us] for "2024-01-01" and datetime64[ns] once one string has more than
#        six decimals, and for float seconds [us] or [ns] by whether one of them has a fraction.
#        The old idiom gives 1704067 in place of 1704067200.
# Bears on: scripts that write epoch seconds for a recommender.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pandas==3.1.1 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import pandas as pd

for name in ("pandas", "numpy"):
    print(name, version(name))

inputs = {
    "text": pd.to_datetime(pd.Series(["2024-01-01", "2024-01-02"])),
    "text, one of nine decimals": pd.to_datetime(
        pd.Series(["2024-01-01 00:00:00", "2024-01-02 00:00:00.000000001"]), format="ISO8601"
    ),
    "integer seconds": pd.to_datetime(pd.Series([1704067200]), unit="s"),
    "float seconds": pd.to_datetime(pd.Series([1704067200.0]), unit="s"),
    "float seconds, one with a fraction": pd.to_datetime(pd.Series([1704067200.0, 1704067200.5]), unit="s"),
}
seen = {name: (str(t.dtype), int(t.astype("int64")[0] // 10**9)) for name, t in inputs.items()}
for name, found in seen.items():
    print(name, *found)
micro, nano = ("datetime64[us]", 1704067), ("datetime64[ns]", 1704067200)
assert list(seen.values()) == [micro, nano, micro, micro, nano]
PY
