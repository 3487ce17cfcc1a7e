"""From a file of reviews to a 5-core data set with the last two interactions of a user held out, in pandas.

    python prepare.py WORKLOAD --method whole               # the file as one frame
    python prepare.py WORKLOAD --method chunked [--lines N] # three columns of it, N lines at a time

Of a user's reviews of one item the first counts; equal times keep the order of the file; users and items are numbered
in the order in which they first appear. What is written is what `codistill prepare` writes, as Parquet with zstd.
"""

import pathlib
import tempfile

import process

CORE = 5
LEAST_FOR_TARGETS = 3
USER, ITEM, TIME = "reviewerID", "asin", "unixReviewTime"


def read(pandas, path, chunk):
    options = {"lines": True, "dtype": {USER: str, ITEM: str}, "convert_dates": False}
    if not chunk:
        return pandas.read_json(path, **options)[[USER, ITEM, TIME]]
    with pandas.read_json(path, chunksize=chunk, **options) as parts:
        return pandas.concat([part[[USER, ITEM, TIME]] for part in parts], ignore_index=True)


def core(log):
    while True:
        before = len(log)
        of_user = log.groupby("user")["item"].transform("size")
        of_item = log.groupby("item")["user"].transform("size")
        log = log[(of_user >= CORE) & (of_item >= CORE)]
        if len(log) == before:
            return log


def prepared(pandas, path, chunk, out):
    """The counts of what was written to `out`."""
    raw = read(pandas, path, chunk)
    rows = len(raw)
    (user, users), (item, items) = raw[USER].factorize(), raw[ITEM].factorize()
    log = pandas.DataFrame({"user": user, "item": item, "time": raw[TIME]})
    del raw
    log = log.sort_values(["user", "time"], kind="stable").drop_duplicates(["user", "item"])
    log = core(log)
    user, kept_users = log["user"].factorize(sort=True)
    item, kept_items = log["item"].factorize(sort=True)
    log = log.assign(user=user, item=item + 1)
    from_end = log.groupby("user").cumcount(ascending=False)
    split = log.groupby("user")["item"].transform("size") >= LEAST_FOR_TARGETS
    valid, test = split & (from_end == 1), split & (from_end == 0)
    log["part"] = valid * 1 + test * 2
    for name, frame in (
        ("interactions", log),
        ("users", pandas.DataFrame({"id": users[kept_users]})),
        ("items", pandas.DataFrame({"id": items[kept_items]})),
    ):
        frame.to_parquet(out / f"{name}.parquet", compression="zstd", index=False)
    held = {"valid": int(valid.sum()), "test": int(test.sum())}
    return {"rows": rows, "users": len(kept_users), "items": len(kept_items), "interactions": len(log),
            "train": len(log) - sum(held.values()), **held}


def main():
    parser = process.arguments(__doc__)
    parser.add_argument("--method", choices=["whole", "chunked"], required=True)
    parser.add_argument("--lines", type=int, default=100_000, help="lines of a chunk")
    args = parser.parse_args()
    try:
        import pandas
        import pyarrow
    except ImportError as error:
        process.fail(f"{error.name} is missing", "pip install -r benches/peers/requirements.txt")
    pyarrow.set_cpu_count(args.threads)
    runtime = process.peak_rss_bytes()
    if not args.workload:
        process.fail("no workload", "give the directory of `codistill bench NAME --write DIR`")
    path = pathlib.Path(args.workload) / "reviews.jsonl"
    if not path.exists():
        process.fail(f"{path} is missing", "this peer runs workloads of kind prepare")
    with tempfile.TemporaryDirectory() as out:
        chunk = args.lines if args.method == "chunked" else None
        process.time_calls(
            args,
            lambda: prepared(pandas, path, chunk, pathlib.Path(out)),
            lambda counts, seconds: {"metrics": counts, "figures": {"rows/s": counts["rows"] / seconds}},
        )
    process.emit("done", contender=args.contender or f"pandas-{args.method}", parameters=0,
                 peak_rss_bytes=process.peak_rss_bytes(), runtime_rss_bytes=runtime, threads=args.threads,
                 pandas=pandas.__version__)


if __name__ == "__main__":
    main()
