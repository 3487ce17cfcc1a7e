"""A checkpoint of a model and its optimiser's state, saved and loaded, in PyTorch.

    python ckpt.py WORKLOAD             # torch.save and torch.load
    python ckpt.py WORKLOAD --durable   # and what a checkpoint owes to a machine that stops: see below

`--durable` writes beside the place, syncs file and folder to disk, renames, and keeps a SHA-256 that is checked before
anything is loaded: what `codistill train` does with its own. Without it the file may be in memory only when the clock
stops. The optimiser's state is made from the parameters x: means 0.1 x, means of squares x².
"""

import hashlib
import os
import pathlib
import tempfile
import time

import torch

import common

BLOCK = 1 << 20


def state_of(parameters):
    optimiser = {name: {"first": 0.1 * x, "second": x * x, "updates": 1} for name, x in parameters.items()}
    return {"model": parameters, "optimiser": optimiser, "state": {"epoch": 0, "step": 0}}


def digest(path):
    sha256 = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            sha256.update(block)
    return sha256.hexdigest()


def sync(path):
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def save(state, path, durable):
    if not durable:
        torch.save(state, path)
        return
    beside = path.with_suffix(".new")
    torch.save(state, beside)
    sync(beside)
    path.with_suffix(".sha256").write_text(digest(beside))
    sync(path.with_suffix(".sha256"))
    beside.rename(path)
    sync(path.parent)


def load(path, durable, device):
    if durable and digest(path) != path.with_suffix(".sha256").read_text():
        common.fail(f"{path} is damaged")
    return torch.load(path, map_location=device)


def sums(state):
    """Of all numbers, block by block: a whole table in double precision would count as memory of the checkpoint."""
    tensors = list(state["model"].values())
    tensors += [moments[kind] for moments in state["optimiser"].values() for kind in ("first", "second")]
    total, squares = 0.0, 0.0
    for block in (block for x in tensors for block in x.flatten().split(BLOCK)):
        total += float(block.sum(dtype=torch.float64))
        squares += float(block.double().square().sum())
    return {"numbers": sum(x.numel() for x in tensors), "sum": total, "squares": squares}


def main():
    parser = common.arguments(__doc__)
    parser.add_argument("--durable", action="store_true")
    args = parser.parse_args()
    common.prepare(args)
    if not args.workload:
        common.fail("no workload", "give the directory of `codistill bench NAME --write DIR`")
    state = state_of(common.Workload(args.workload, ["checkpoint"]).tensors())
    loaded = common.peak_rss_bytes()
    with tempfile.TemporaryDirectory() as home:
        path = pathlib.Path(home) / "checkpoint.pt"

        def call():
            start = time.perf_counter()
            save(state, path, args.durable)
            saved = time.perf_counter()
            again = load(path, args.durable, args.device)
            common.sync(args)
            return saved - start, time.perf_counter() - saved, again

        def line_of(result, _seconds):
            save_seconds, load_seconds, again = result
            on_disk = sum(file.stat().st_size for file in path.parent.iterdir())
            figures = {"save s": save_seconds, "load s": load_seconds, "on disk MiB": on_disk / 2**20}
            path.unlink()
            return {"figures": figures, "metrics": sums(again)}

        common.time_calls(args, call, line_of)
    common.emit("done", contender=args.contender or f"torch-save{'-durable' * args.durable}",
                parameters=sum(x.numel() for x in state["model"].values()), peak_rss_bytes=common.peak_rss_bytes(),
                loaded_rss_bytes=loaded, **common.about(args))


if __name__ == "__main__":
    main()
