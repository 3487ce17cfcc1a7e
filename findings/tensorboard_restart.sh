#!/usr/bin/env bash
# TensorBoard: after a restart from step 5 both values of steps 5 to 7 are shown.
#
# Guess: a second event file that goes back to step 5 supersedes the steps from 5 on.
# Seen:  all 13 values are kept: 0 to 9 of the first run, then 5 to 7 again. Only a writer that was told
#        purge_step=5 leaves a mark that removes them, and then steps 8 and 9 go as well.
# Bears on: resumed trainings, and readers of curves that expect one value per step.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  tensorboard==2.21.0 tensorboardX==2.6.5 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import time
import warnings

warnings.simplefilter("ignore")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboardX import SummaryWriter

for name in ("tensorboard", "tensorboardX", "numpy"):
    print(name, version(name))

def steps(folder, **options):
    for first, last, told in ((0, 10, {}), (5, 8, options)):
        with SummaryWriter(folder, **told) as writer:
            for step in range(first, last):
                writer.add_scalar("loss", first, step)
        time.sleep(1.1)  # The file name holds whole seconds.
    events = EventAccumulator(folder)
    events.Reload()
    return [e.step for e in events.Scalars("loss")]

plain, purged = steps("plain"), steps("purged", purge_step=5)
print("plain ", plain)
print("purged", purged)
assert plain == [*range(10), 5, 6, 7]
assert purged == list(range(8))
PY
