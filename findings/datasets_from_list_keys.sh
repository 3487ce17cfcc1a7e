#!/usr/bin/env bash
# datasets: Dataset.from_list keeps only the keys of the first row.
#
# Guess: keys that appear later become columns with nulls, as when the first row has them and a later
#        one lacks them.
# Seen:  [{"item": 1}, {"item": 2, "title": "x"}] has one column, item; the title is gone, no warning.
#        Inside a nested dict, keys are united as expected.
# Bears on: metadata rows whose first item lacks a title.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  datasets==5.2.0 pyarrow==26.0.1 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

from datasets import Dataset

for name in ("datasets", "pyarrow", "numpy"):
    print(name, version(name))

late = Dataset.from_list([{"item": 1}, {"item": 2, "title": "x"}])
early = Dataset.from_list([{"item": 1, "title": "x"}, {"item": 2}])
nested = Dataset.from_list([{"meta": {"item": 1}}, {"meta": {"item": 2, "title": "x"}}])
print("late", late.to_dict(), " early", early.to_dict(), " nested", nested.to_dict())
assert late.column_names == ["item"]
assert early.to_dict() == {"item": [1, 2], "title": ["x", None]}
assert nested[1] == {"meta": {"item": 2, "title": "x"}}
PY
