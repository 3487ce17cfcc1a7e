#!/usr/bin/env bash
# ranx: which of two equal scores comes first depends on the length of the list.
#
# Guess: equal scores keep the order of the run, whatever its length.
# Seen:  a list of 3 equal scores keeps its order. In a list of 30 the order is turned round,
#        save that the last item stays last: the first item has rank 29, the second-last rank 1.
# Bears on: runs with rounded scores.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  ranx==0.3.21 numba==0.68.1 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

from ranx import Qrels, Run, evaluate

for name in ("ranx", "numba", "numpy"):
    print(name, version(name))

def ranks(n):
    names = [f"{i:02}" for i in range(n)]
    run = Run({"u": {name: 0.5 for name in names}})
    return [round(1 / evaluate(Qrels({"u": {name: 1}}), run, "mrr")) for name in names]

short, long = ranks(3), ranks(30)
print("3 items:", short)
print("30 items:", long)
assert short == [1, 2, 3]
assert long == [*range(29, 0, -1), 30]
PY
