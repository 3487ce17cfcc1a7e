"""Runs `codistill bench` and its peers in PyTorch or pandas on the same workload, one after the other, and writes what
came out.

    cargo build --release
    pip install -r benches/peers/requirements.txt
    python benches/versus.py odmt-small --profile dense --contenders codistill,torch-eager,torch-compile,torch-savings
    python benches/versus.py odmt-small --profile sparse --growth --set users=16,32,64
    python benches/versus.py odmt-small --contenders codistill,torch-eager,authors-code --authors ODMT

Every round starts each contender once, as a process of its own, in an order that rotates from round to round. OUT gets
`result.json` (everything, with machine, commit and commands), `table.md` and `plot.svg`. A contender that fails is in
all of them, with the end of what it said. ODMT peers compare themselves with the parity fixtures in the first round.
"""

import argparse
import datetime
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE / "peers"))
import report  # noqa: E402

BASE = "codistill"
PEERS = {
    "odmt": {
        "torch-eager": ["odmt.py", "--graph", "authors"],
        "torch-eager-keep": ["odmt.py", "--graph", "authors", "--allocator", "keep"],
        "torch-sdpa": ["odmt.py", "--graph", "authors-sdpa"],
        "torch-compile": ["odmt.py", "--graph", "authors-sdpa", "--compile"],
        "torch-savings": ["odmt.py", "--graph", "savings"],
        # What the authors published, from a clone of theirs.
        "authors-code": ["odmt_upstream.py"],
    },
    "sasrec": {
        "torch-eager": ["sasrec.py"],
        "torch-eager-keep": ["sasrec.py", "--allocator", "keep"],
        "torch-compile": ["sasrec.py", "--compile"],
        "recbole": ["recbole_epoch.py"],
    },
    "evaluate": {
        "torch-sort-loop": ["evaluate.py", "--method", "sort-loop"],
        "torch-topk": ["evaluate.py", "--method", "topk"],
    },
    "loss": {
        "torch-eager": ["loss.py", "--method", "eager"],
        "torch-eager-keep": ["loss.py", "--method", "eager", "--allocator", "keep"],
        "torch-tiled": ["loss.py", "--method", "tiled"],
    },
    "checkpoint": {
        "torch-save": ["ckpt.py"],
        "torch-save-durable": ["ckpt.py", "--durable"],
    },
    "prepare": {
        "pandas": ["prepare.py", "--method", "whole"],
        "pandas-chunked": ["prepare.py", "--method", "chunked"],
    },
}
SAID_LINES = 15


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME", help="workload; several only with --growth")
    parser.add_argument("--profile", default="dense", choices=["dense", "sparse"])
    parser.add_argument("--contenders", default="codistill,torch-eager,torch-savings", help="comma-separated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="codistill's; the peers run on cuda where it is not cpu")
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target" / "release" / "codistill")
    parser.add_argument("--python", default=sys.executable, help="with the peers' packages")
    parser.add_argument("--recbole-python", help="with RecBole's packages")
    parser.add_argument("--authors", type=pathlib.Path, default=os.environ.get("ODMT_AUTHORS"), metavar="DIR",
                        help="clone of the ODMT authors' repository, for authors-code (default: $ODMT_AUTHORS)")
    parser.add_argument("--workload", type=pathlib.Path, help="directory to use; written first where it is empty")
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE[,VALUE...]",
                        help="handed to `codistill bench --write`; several values only with --growth")
    parser.add_argument("--growth", action="store_true", help="one result over all names and values, drawn as a curve")
    parser.add_argument("--key", help="key of workload.json to draw over (default: the one with several values)")
    parser.add_argument("--no-check", action="store_true", help="leave out the comparison with the parity fixtures")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds a contender may take")
    args = parser.parse_args()
    args.contenders = args.contenders.split(",")
    args.set = [(key, values.split(",")) for key, _, values in (pair.partition("=") for pair in args.set)]
    several = [key for key, values in args.set if len(values) > 1]
    if not args.growth and (several or len(args.names) > 1):
        parser.error("several names or values need --growth")
    if args.growth and args.workload:
        parser.error("--growth writes workloads of its own: leave out --workload")
    if args.growth and not args.key:
        args.key = several[0] if several else None
        if not args.key:
            parser.error("--growth between names needs --key: the key of workload.json that differs")
    if min(args.rounds, args.steps) < 1:
        parser.error("--rounds and --steps are at least 1")
    if "authors-code" in args.contenders and not (args.authors and (args.authors / "code" / "model").is_dir()):
        # Now, not after a workload was written and others ran.
        sys.exit("error: authors-code needs a clone of the ODMT authors' repository"
                 + (f", and {args.authors} is none" if args.authors else "")
                 + "\nhint: git clone https://github.com/xyliugo/ODMT, then --authors ODMT; benches/peers/"
                 "odmt_upstream.py names the commit")
    return args


def main():
    args = arguments()
    out = args.out or ROOT / "target" / "versus" / f"{'-'.join(args.names)}-{args.profile}"
    out.mkdir(parents=True, exist_ok=True)
    # Before anything runs: the commit that is measured, not one made meanwhile.
    at = conditions(args)
    cells = []
    for name in args.names:
        for values in itertools.product(*(values for _, values in args.set)):
            chosen = [f"{key}={value}" for (key, _), value in zip(args.set, values)]
            with tempfile.TemporaryDirectory() as spare:
                cells.append(run_cell(args, name, chosen, args.workload or pathlib.Path(spare) / "workload"))
            # After every cell, so that a long growth that breaks off leaves what it has.
            result = {"conditions": at, "base": BASE, "key": args.key, "cells": cells}
            (out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    (out / "table.md").write_text(report.tables(result))
    print(report.tables(result))
    if args.growth:
        report.plot_growth(result, out / "plot.svg")
    else:
        report.plot_cell(cells[0], out / "plot.svg")
    print(f"written to {out}", file=sys.stderr)
    failed = any("failed" in run for cell in cells for run in cell["contenders"].values())
    sys.exit(1 if failed else 0)


def run_cell(args, name, chosen, folder):
    """All rounds of all contenders on one workload."""
    written = None
    if not (folder / "workload.json").exists():
        written = [str(args.binary), "bench", name, "--profile", args.profile, "--write", str(folder)]
        written += [part for pair in chosen for part in ("--set", pair)]
        print(f"writing {name}, {args.profile} {' '.join(chosen)}", file=sys.stderr)
        done = start(written, args.timeout)
        if "failed" in done or not (folder / "workload.json").exists():
            sys.exit("error: the workload was not written\n" + "\n".join(done.get("failed", {}).get("said", [])))
    workload = json.loads((folder / "workload.json").read_text())
    commands = {who: command(args, name, workload["kind"], who, folder) for who in args.contenders}
    runs = {who: {"command": tidy(line, folder), "rounds": []} for who, line in commands.items()}
    for number in range(args.rounds):
        turn = number % len(args.contenders)
        for who in args.contenders[turn:] + args.contenders[:turn]:
            if "failed" in runs[who]:
                continue
            line = list(commands[who])
            if line[1].endswith(("odmt.py", "odmt_upstream.py")) and (args.no_check or number):
                line.append("--no-check")
            print(f"round {number + 1}: {who}", file=sys.stderr)
            busy = busy_share()
            done = start(line, args.timeout)
            events = done["events"]
            record = {"busy_before": busy, "wall_seconds": done["wall_seconds"],
                      "steps": [e for e in events if e.get("event") == "step"]}
            record |= {kind: e for e in events if (kind := e.get("event")) in ("check", "done")}
            if "failed" not in done and ("done" not in record or len(record["steps"]) != args.steps):
                wrong = f"{len(record['steps'])} of {args.steps} steps, {'a' if 'done' in record else 'no'} done line"
                done["failed"] = {"reason": wrong, "said": done["said"]}
            if "failed" in done:
                runs[who]["failed"] = {"round": number + 1, **done["failed"]}
                print(f"  failed: {done['failed']['reason']}", file=sys.stderr)
                # What came before the end of a broken run is kept, but doesn't count.
                runs[who]["broken_round"] = record
            else:
                runs[who]["rounds"].append(record)
    cell = {"name": name, "profile": args.profile, "set": chosen, "workload": workload, "contenders": runs,
            "written_with": written and tidy(written, folder)}
    report.summarise(cell, BASE)
    return cell


def command(args, name, kind, who, folder):
    timing = ["--warmup", str(args.warmup), "--steps", str(args.steps), "--threads", str(args.threads)]
    if who == BASE:
        return [str(args.binary), "bench", name, "--workload", str(folder), *timing, "--device", args.device, "--json"]
    peers = PEERS.get(kind, {})
    if who not in peers:
        sys.exit(f"error: no contender {who!r} for kind {kind!r}\nhint: {', '.join([BASE, *peers])}")
    script, *options = peers[who]
    python = args.python
    if who == "authors-code":
        options = ["--authors", str(args.authors)]
    if who == "recbole":
        # Its step is an epoch, and its first one is like the others.
        timing[1] = "0"
        python = args.recbole_python or args.python
    elif args.device != "cpu":
        timing += ["--device", "cuda"]
    return [python, str(HERE / "peers" / script), str(folder), *options, *timing, "--contender", who]


def start(line, timeout):
    """Runs a process to its end: its JSON lines, how long it took, and how it failed where it did."""
    begun = time.perf_counter()
    # Files, not pipes: a process that runs into the time limit leaves what it had said.
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        failed = None
        try:
            code = subprocess.run(line, stdout=stdout, stderr=stderr, timeout=timeout).returncode
            if code:
                failed = f"ended by signal {-code}" if code < 0 else f"exit status {code}"
        except subprocess.TimeoutExpired:
            failed = f"not done after {timeout:.0f} s"
        except OSError as error:
            failed = f"cannot be started: {error.strerror}"
        stdout.seek(0)
        stderr.seek(0)
        said = stderr.read().splitlines()[-SAID_LINES:]
        events = []
        for text in stdout:
            try:
                event = json.loads(text)
            except json.JSONDecodeError:
                event = None
            if isinstance(event, dict):
                events.append(event)
            elif text.strip():
                # The last line of a process that was stopped may be half a line.
                said.append(f"stdout, no JSON object: {text.strip()[:200]}")
    done = {"events": events, "wall_seconds": time.perf_counter() - begun, "said": said}
    if failed:
        done["failed"] = {"reason": failed, "said": said}
    return done


def tidy(line, folder):
    """A command as someone else would type it: no paths of this machine."""
    short = {str(folder): "WORKLOAD"}
    out = []
    for part in line:
        part = short.get(part, part)
        path = pathlib.Path(part)
        if path.is_absolute():
            part = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
        out.append(part)
    return " ".join(out)


def busy_share():
    """Share of the machine's processor time that others use just before a contender starts; null where unknown."""
    def sample():
        ticks = [int(x) for x in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return ticks[3] + ticks[4], sum(ticks)

    try:
        idle, total = sample()
        time.sleep(0.5)
        idle_then, total_then = sample()
        return round(1 - (idle_then - idle) / max(total_then - total, 1), 3)
    except (OSError, ValueError, IndexError):
        return None


def conditions(args):
    def said(*line):
        try:
            return subprocess.run(line, capture_output=True, text=True, cwd=ROOT).stdout.strip() or None
        except OSError:
            return None

    cpu = {}
    for row in (said("lscpu") or "").splitlines():
        key, _, value = row.partition(":")
        cpu[key.strip()] = value.strip()
    flags = set(cpu.get("Flags", "").split())
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        memory = None
    changed = said("git", "status", "--porcelain", "--untracked-files=no")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": said("git", "rev-parse", "HEAD"),
        "uncommitted_changes": bool(changed),
        "cpu": cpu.get("Model name"),
        "cpu_family_model": f"{cpu.get('CPU family')}/{cpu.get('Model')}",
        "cores": os.cpu_count(),
        "simd": sorted(f for f in flags if f in ("avx2", "fma", "avx512f", "avx512_bf16", "amx_tile")),
        "last_level_cache": cpu.get("L3 cache") or cpu.get("L2 cache"),
        "memory_bytes": memory,
        "rounds": args.rounds, "warmup": args.warmup, "steps": args.steps, "threads": args.threads,
        "device": args.device,
    }


if __name__ == "__main__":
    main()
