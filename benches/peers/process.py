"""What every peer of `codistill bench` shares, with PyTorch or without: arguments, JSON lines, timing, memory.

A peer is a process that is given a workload directory and prints one JSON object a line to stdout: a `step` for each
timed step and a `done` at the end. Talk goes to stderr, so that stdout stays readable by a program.
"""

import argparse
import json
import pathlib
import resource
import sys
import time


def fail(message, hint=None):
    print(f"error: {message}" + (f"\nhint: {hint}" if hint else ""), file=sys.stderr)
    sys.exit(1)


def arguments(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", nargs="?", help="directory written by `codistill bench NAME --write DIR`")
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu, or cuda with TF32 products, as codistill's on a GPU")
    parser.add_argument("--contender", help="name to report (default: by what runs)")
    parser.add_argument("--allocator", choices=["default", "keep"],
                        help="keep: freed memory stays with the process (default: keep, but for the authors' graph)")
    return parser


def emit(event, **values):
    print(json.dumps({"event": event, **values}), flush=True)


def peak_rss_bytes():
    """Peak resident memory since the start, or since the last `forget_peak`.

    The kernel's high-water mark of this process is read first: ru_maxrss of a fresh process starts at the peak of the
    process that started it, which flatters nobody but hides a small contender.
    """
    try:
        for line in pathlib.Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_peak():
    """Lowers the high-water mark to what is resident now; False where the system can't."""
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
        return True
    except OSError:
        return False


def time_calls(args, call, line_of):
    """Warm-up, then `--steps` timed calls of `call`; what `line_of` makes of result and seconds joins the `step` line."""
    for j in range(-args.warmup, args.steps):
        start = time.perf_counter()
        result = call()
        seconds = time.perf_counter() - start
        if j >= 0:
            emit("step", **{"index": j, "seconds": seconds, **line_of(result, seconds)})
        # Or it would take memory in the next call.
        result = None
