#!/usr/bin/env bash
# pytrec_eval: two scores that differ in double precision can tie, and a tie goes to the
# higher id.
#
# Guess: Python floats are compared as doubles; equal scores keep the order of the run.
# Seen:  scores are narrowed to float32. 20000001.0 and 20000000.0 tie, and then the id that
#        sorts last as a string wins, so that the better item comes second.
#        With three equal scores "c" beats "b" beats "a".
# Bears on: scores with a large offset, and ranks written as scores.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  pytrec_eval-terrier==0.5.11 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import pytrec_eval

for name in ("pytrec_eval-terrier", "numpy"):
    print(name, version(name))

def reciprocal_rank(target, run):
    judge = pytrec_eval.RelevanceEvaluator({"u": {target: 1}}, {"recip_rank"})
    return judge.evaluate({"u": run})["u"]["recip_rank"]

small = reciprocal_rank("a", {"a": 1.0, "b": 0.0})
large = reciprocal_rank("a", {"a": 20000001.0, "b": 20000000.0})
ties = [round(reciprocal_rank(x, {"a": 0.5, "b": 0.5, "c": 0.5}), 3) for x in "abc"]
print("small", small, "large", large, "ties a, b, c", ties)
assert (small, large) == (1.0, 0.5)
assert ties == [0.333, 0.5, 1.0]
PY
