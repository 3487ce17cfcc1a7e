#!/usr/bin/env bash
# datasets: Sequence({...}) is a dict of lists, and refuses a list of dicts.
#
# Guess: a sequence of {"large", "thumb"} holds rows such as [{"large": ..., "thumb": ...}, ...].
# Seen:  Sequence of a dict stands for {"large": [...], "thumb": [...]}, stored as a struct of lists; the
#        list of dicts that its name describes can't be encoded. List({...}) takes it, and is
#        stored as a list of structs.
# Bears on: the columns images and videos of Amazon Reviews 2023, which come as structs of lists.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  datasets==5.2.0 pyarrow==26.0.1 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

from datasets import Dataset, Features, List, Sequence, Value

for name in ("datasets", "pyarrow", "numpy"):
    print(name, version(name))

image = {"large": Value("string"), "thumb": Value("string")}
rows = {"images": [[{"large": "a", "thumb": "b"}, {"large": "c", "thumb": "d"}]]}
sequence, listed = Features({"images": Sequence(image)}), Features({"images": List(image)})
for features in (sequence, listed):
    print(features.arrow_schema.field("images").type)
assert str(sequence.arrow_schema.field("images").type).startswith("struct<")
assert str(listed.arrow_schema.field("images").type).startswith("list<")
assert Dataset.from_dict(rows, features=listed)[0] == {"images": rows["images"][0]}
try:
    Dataset.from_dict(rows, features=sequence)
except Exception as e:
    print("Sequence:", type(e).__name__, e)
else:
    raise AssertionError("Sequence takes a list of dicts now")
columns = {"images": [{"large": ["a", "c"], "thumb": ["b", "d"]}]}
assert Dataset.from_dict(columns, features=sequence)[0] == {"images": columns["images"][0]}
PY
