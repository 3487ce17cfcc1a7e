#!/usr/bin/env bash
# ir_measures: RR and RR@10 of one list of three items can differ.
#
# Guess: a cut-off of 10 on a list of three changes nothing.
# Seen:  with equal scores, RR and Success@1 take the tie one way (last id first), RR@10 the
#        other way (first id first): for target "a" RR is 0.333 and RR@10 is 1.0 in one call.
#        Measures are handed to different backends, each with its own tie rule.
# Bears on: comparing one's metrics with a reference that has ties.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  ir_measures==0.4.3 pytrec_eval-terrier==0.5.11 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import ir_measures
from ir_measures import RR, Success

for name in ("ir_measures", "pytrec_eval-terrier", "numpy"):
    print(name, version(name))

seen = {}
for target in "abc":
    result = ir_measures.calc_aggregate(
        [RR, RR @ 10, Success @ 1], {"u": {target: 1}}, {"u": {"a": 0.5, "b": 0.5, "c": 0.5}}
    )
    seen[target] = [round(result[m], 3) for m in (RR, RR @ 10, Success @ 1)]
    print(target, "RR, RR@10, Success@1:", seen[target])
assert seen == {"a": [0.333, 1.0, 0.0], "b": [0.5, 0.5, 0.0], "c": [1.0, 0.333, 1.0]}
PY
