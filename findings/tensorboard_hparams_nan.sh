#!/usr/bin/env bash
# TensorBoard: one NaN metric leaves the HParams table unsorted.
#
# Guess: sorting by a metric puts NaN at one end, and the other rows in order.
# Seen:  rows before and after the NaN row are sorted apart: ascending gives 0.3, NaN, 0.1, 0.2, 0.5, so
#        that the best run stands anywhere. Without the NaN row the table is in order.
# Bears on: what a diverged trial should write (nothing for the metric, or a number that sorts last).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  tensorboard==2.21.0 tensorboardX==2.6.5 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import math
import warnings

warnings.simplefilter("ignore")
from tensorboard import context
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups
from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

for name in ("tensorboard", "tensorboardX", "numpy"):
    print(name, version(name))

def table(folder, metrics):
    for i, metric in enumerate(metrics):
        with SummaryWriter(f"{folder}/{i}") as writer:
            for summary in hparams({"rate": float(i)}, {"ndcg": metric}):
                writer.file_writer.add_summary(summary)
            writer.add_scalar("ndcg", metric, 1)
    events = plugin_event_multiplexer.EventMultiplexer()
    events.AddRunsFromDirectory(folder)
    events.Reload()
    provider = data_provider.MultiplexerDataProvider(events, folder)
    tb = base_plugin.TBContext(multiplexer=events, data_provider=provider)
    request = api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=100)
    request.allowed_statuses.extend(api_pb2.Status.values())
    column = request.col_params.add()
    column.metric.tag, column.order = "ndcg", api_pb2.ORDER_ASC
    groups = list_session_groups.Handler(
        context.RequestContext(), backend_context.Context(tb), "", request
    ).run().session_groups
    return [round(g.metric_values[0].value, 3) for g in groups]

clean, holed = table("clean", [0.3, 0.1, 0.5, 0.2]), table("holed", [0.3, math.nan, 0.1, 0.5, 0.2])
print("clean", clean, " with NaN", holed)
assert clean == [0.1, 0.2, 0.3, 0.5]
numbers = [x for x in holed if not math.isnan(x)]
assert len(numbers) == 4 and numbers != sorted(numbers)
PY
