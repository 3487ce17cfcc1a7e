"""One ODMT training step in PyTorch, in three graphs, timed on a workload of `codistill bench`.

    python odmt.py WORKLOAD --graph authors               # eager, what the authors compute
    python odmt.py WORKLOAD --graph authors-sdpa --compile
    python odmt.py WORKLOAD --graph savings               # the exact savings of docs/odmt.md, section 7, nos 1-5 and 7
    python odmt.py --graph savings --check FIXTURES       # only compare with the parity fixtures

Before it times, a run checks its own graph against the parity fixtures in a process of its own (so that the check's
memory and compiled code are not part of the measurement).
"""

import pathlib
import subprocess
import sys

import torch

import common
import odmt_check
from odmt_authors import Authors, Tables
from odmt_savings import Savings


def builder(args, **options):
    def build(settings, tables):
        if args.graph == "savings":
            model = Savings(settings, tables, **options)
        else:
            model = Authors(settings, tables, sdpa=args.graph == "authors-sdpa")
        if args.compile:
            model.compile()
        return model.train()

    return build


def contender(args):
    name = {"authors": "torch-eager", "authors-sdpa": "torch-sdpa", "savings": "torch-savings"}[args.graph]
    if args.compile:
        return "torch-compile" if args.graph == "authors-sdpa" else f"{name}-compile"
    return name


def check_apart(args):
    command = [sys.executable, __file__, "--graph", args.graph, "--threads", str(args.threads), "--check",
               str(args.check or common.FIXTURES)]
    done = subprocess.run(command + ["--compile"] * args.compile, stdout=subprocess.PIPE, text=True)
    print(done.stdout, end="", flush=True)
    if done.returncode:
        sys.exit(done.returncode)


def tables_of(workload, graph):
    # The authors keep both feature tables in float32 (docs/odmt.md, section 5.3); float16 rows widen to the same numbers.
    kept = torch.float32 if graph == "authors" else None
    return Tables(
        workload.tensor("sequences", torch.int64), workload.tensor("text", kept), workload.tensor("image", kept),
        workload.tensor("text_length", torch.int64), workload.tensor("log_popularity"),
    )


def main():
    parser = common.arguments(__doc__)
    parser.add_argument("--graph", choices=["authors", "authors-sdpa", "savings"], required=True)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--check", type=pathlib.Path, help="folder of the parity fixtures")
    parser.add_argument("--no-check", action="store_true", help="time without checking first")
    args = parser.parse_args()
    plain = args.graph == "authors" and not args.compile
    common.prepare(args, "default" if plain else "keep")
    if args.compile and args.graph == "savings":
        common.fail("--compile goes with the authors' graphs", "compiling this one made no step faster")
    if args.compile:
        common.use_inductor()
    build = builder(args)
    if not args.workload:
        if not args.check:
            common.fail("nothing to do", "give a workload directory, or --check FIXTURES")
        # Groups of exact and of rounded lengths take different ways; a workload may use either.
        builds = [build, builder(args, bucket=1)] if args.graph == "savings" else [build]
        odmt_check.check(builds, args.check, contender(args), fused=not plain)
        return
    if not args.no_check:
        check_apart(args)
    workload = common.Workload(args.workload, ["odmt"])
    settings = workload.settings
    model = build(settings, tables_of(workload, args.graph))
    optimiser = common.Optimiser(model.parameters(), settings, fused=not plain)
    count = sum(p.numel() for p in model.parameters())
    common.time_training(args, settings, contender(args), count, optimiser,
                         lambda k: model.loss(model.tables.rows(k, settings.users))[0])


if __name__ == "__main__":
    main()
