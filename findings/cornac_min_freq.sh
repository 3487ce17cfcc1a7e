#!/usr/bin/env bash
# Cornac: after min_user_freq and min_item_freq, users and items below both remain.
#
# Guess: the two limits give a k-core: everything left meets both.
# Seen:  users are filtered once and then items once. With both limits at 2, six ratings of a ring that is
#        open at its ends shrink to four, and two of the three users left have one rating.
# Bears on: comparing data set statistics and results with a true 5-core.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check cornac==3.0.1 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import warnings

warnings.simplefilter("ignore")
from collections import Counter
from cornac.data import Reader

for name in ("cornac", "numpy"):
    print(name, version(name))

ratings = [("u1", "x"), ("u1", "a"), ("u2", "a"), ("u2", "b"), ("u3", "b"), ("u3", "y")]
with open("ratings.tsv", "w") as f:
    f.write("".join(f"{user}\t{item}\t1\n" for user, item in ratings))
left = Reader(min_user_freq=2, min_item_freq=2).read("ratings.tsv")
users = Counter(row[0] for row in left)
print(len(ratings), "->", len(left), dict(users), dict(Counter(row[1] for row in left)))
assert len(left) == 4
assert users == {"u1": 1, "u2": 2, "u3": 1}
PY
