#!/usr/bin/env bash
# TensorBoard: EventAccumulator returns a random half of 20,000 scalars, and one histogram of 600.
#
# Guess: reading an event file in Python returns what was written.
# Seen:  by default 10,000 scalars and 1 histogram per tag are kept by random choice, the last always among
#        them; the first need not be. size_guidance={"scalars": 0} keeps everything.
# Bears on: computing averages or the best step from event files.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  tensorboard==2.21.0 tensorboardX==2.6.5 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import warnings

warnings.simplefilter("ignore")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboardX import SummaryWriter

for name in ("tensorboard", "tensorboardX", "numpy"):
    print(name, version(name))

with SummaryWriter("run") as writer:
    for step in range(20_000):
        writer.add_scalar("loss", 1.0, step)
    for step in range(600):
        writer.add_histogram("weights", [1.0, 2.0], step)

def read(**options):
    events = EventAccumulator("run", **options)
    events.Reload()
    return [e.step for e in events.Scalars("loss")], len(events.Histograms("weights"))

(steps, histograms), (everything, _) = read(), read(size_guidance={"scalars": 0})
gaps = {b - a for a, b in zip(steps, steps[1:])}
print("scalars", len(steps), "last step", steps[-1], "gaps", sorted(gaps)[:5], "histograms", histograms)
assert len(steps) == 10_000 and steps[-1] == 19_999 and len(gaps) > 2
assert histograms == 1
assert everything == list(range(20_000))
PY
