#!/usr/bin/env python3
"""Reads a run's event files with the official loader and checks what the pages need.

    pip install tensorboard
    python3 tests/tensorboard_loader.py RUN_DIRECTORY [--unfinished]

`tests/it/tensorboard.rs` runs it. Checks that scalars are there, that none is doubled by a resume and all equal
`metrics.jsonl`; that the text, the hyper-parameters with their metrics and the projector's tables are there.
`--unfinished` asks for scalars and text only: the rest is written at the end of a run. Exit code 1 if anything fails.
"""

import argparse
import collections
import json
import math
import pathlib
import struct
import sys

from google.protobuf import text_format
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.plugins.projector import projector_config_pb2
from tensorboard.util import tensor_util

# Figures that a run ends with.
FINAL = ("best/valid/", "test/", "tune/score")

failures = []


def check(fine, what):
    print(f"{'ok  ' if fine else 'FAIL'} {what}")
    if not fine:
        failures.append(what)


def float32(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def logged_values(path):
    """tag -> {step: value} of metrics.jsonl; what is not finite is null there."""
    values = collections.defaultdict(dict)
    for line in path.read_text().splitlines():
        event = json.loads(line)
        step = event.pop("step")
        event.pop("epoch")
        event.pop("time")
        for tag, value in event.items():
            values[tag][step] = value
    return values


def check_scalars(events, run):
    tags = events.Tags()["scalars"]
    check(bool(tags), f"{len(tags)} scalar tags")
    logged = logged_values(run / "metrics.jsonl")
    empty = {tag for tag in logged if tag.startswith(FINAL) and not any(v is not None for v in logged[tag].values())}
    check(set(logged) - empty <= set(tags), f"all {len(logged)} tags of metrics.jsonl are there")
    for tag in sorted(tags):
        points = events.Scalars(tag)
        steps = [point.step for point in points]
        fine = all(a < b for a, b in zip(steps, steps[1:]))
        if tag in logged:
            seen = {point.step: point.value for point in points}
            # A final figure that is not finite is left out, so that the HParams table keeps it as a missing value.
            final = tag.startswith(FINAL)
            fine &= seen.keys() == {step for step, value in logged[tag].items() if value is not None or not final}
            fine &= all(
                not math.isfinite(seen[step]) if value is None else seen[step] == float32(value)
                for step, value in logged[tag].items()
                if step in seen
            )
        check(fine, f"  {tag}: {len(points)} points, last {points[-1].value:.6g} at step {points[-1].step}")


def plugin_tags(events, plugin):
    try:
        return events.PluginTagToContent(plugin)
    except KeyError:
        return {}


def check_text(events):
    tags = plugin_tags(events, "text")
    check(bool(tags), f"{len(tags)} text tags")
    for tag in tags:
        text = tensor_util.make_ndarray(events.Tensors(tag)[0].tensor_proto).item().decode()
        check(bool(text.strip()), f"  {tag}: {len(text)} characters, begins {text[:40]!r}")


def check_hparams(events):
    tags = plugin_tags(events, hparams_metadata.PLUGIN_NAME)
    wanted = [
        hparams_metadata.EXPERIMENT_TAG,
        hparams_metadata.SESSION_START_INFO_TAG,
        hparams_metadata.SESSION_END_INFO_TAG,
    ]
    missing = [tag for tag in wanted if tag not in tags]
    check(not missing, f"hparams: summaries {', '.join(missing) + ' missing' if missing else 'complete'}")
    if missing:
        return
    experiment, start, end = (tags[tag] for tag in wanted)
    experiment = hparams_metadata.parse_experiment_plugin_data(experiment)
    start = hparams_metadata.parse_session_start_info_plugin_data(start)
    end = hparams_metadata.parse_session_end_info_plugin_data(end)
    names = {info.name for info in experiment.hparam_infos}
    check(names == set(start.hparams) and bool(names), f"  {len(names)} hyper-parameters, each with a value")
    check(end.end_time_secs >= start.start_time_secs > 0, "  start and end of the session")
    scalars = events.Tags()["scalars"]
    for info in experiment.metric_infos:
        tag = info.name.tag
        check(tag in scalars, f"  metric {tag}: {events.Scalars(tag)[-1].value if tag in scalars else 'no scalar'}")
    metrics = [info.name.tag for info in experiment.metric_infos]
    check(0 < len(metrics) <= 5, f"  {len(metrics)} metrics")
    check(bool(metrics) and metrics[0].startswith(("best/valid/", "tune/score")), "  the one that was optimised is the first")


def check_projector(folder):
    path = folder / "projector_config.pbtxt"
    if not path.exists():
        check(False, f"projector: no {path.name}")
        return
    config = text_format.Parse(path.read_text(), projector_config_pb2.ProjectorConfig())
    check(bool(config.embeddings), f"projector: {len(config.embeddings)} embeddings")
    for embedding in config.embeddings:
        lines = (folder / embedding.tensor_path).read_text().splitlines()
        vectors = [[float(cell) for cell in line.split("\t")] for line in lines]
        rows = (folder / embedding.metadata_path).read_text().split("\n")
        rows = [row for row in rows if row.strip()]
        columns = {len(row.split("\t")) for row in rows}
        # The projector takes the first row for a header if there are several columns.
        header = 0 if columns == {1} else 1
        fine = len({len(v) for v in vectors}) == 1 and len(rows) - header == len(vectors) and len(columns) == 1
        what = f"  {embedding.tensor_name}: {len(vectors)} vectors of {len(vectors[0])}, {len(rows)} rows of metadata"
        check(fine, what)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--unfinished", action="store_true")
    arguments = parser.parse_args()
    folder = arguments.run / "tensorboard"
    if not list(folder.glob("*tfevents*")):
        sys.exit(f"error: no event files in {folder}")
    guidance = {event_accumulator.SCALARS: 0, event_accumulator.TENSORS: 0}
    events = event_accumulator.EventAccumulator(str(folder), size_guidance=guidance)
    events.Reload()
    check_scalars(events, arguments.run)
    check_text(events)
    if not arguments.unfinished:
        check_hparams(events)
        check_projector(folder)
    print(f"{len(failures)} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
