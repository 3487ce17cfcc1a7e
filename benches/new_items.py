"""From a JSON line with title and picture to a place in a list: wall time of `embed append` and `recommend`.

    cargo build --release
    python benches/new_items.py RUN [--items 100] [--device cpu]

RUN is a trained run with encoded titles and pictures. For every new item a user is planted: the item shows and says
what the text and image branches would recommend this user first, under a name of its own. Time runs from writing the
line to the end of `recommend`; "found" counts the new items among their user's first ten.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--program", default=str(pathlib.Path(__file__).parent.parent / "target/release/codistill"))
    args = parser.parse_args()

    def call(*more):
        done = subprocess.run([args.program, *map(str, more)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    device = ["--device", args.device]
    liked = {}
    for line in map(json.loads, call("recommend", args.run, "--all", "-k", 500, *device).splitlines()):
        liking = lambda entry: sum(entry["branches"][branch] for branch in ["text", "image"])
        liked[line["user"]] = max(line["items"], key=liking)["item"]
    users = sorted(liked)[:: max(1, len(liked) // args.items)][: args.items]
    with tempfile.TemporaryDirectory() as home:
        home = pathlib.Path(home)
        store, lines = home / "store", home / "new.jsonl"
        call("embed", "build", args.run, "--store", store, *device)
        appends, seconds, found = [], [], 0
        for n, user in enumerate(users):
            shown = json.loads(call("inspect", args.run, "item", liked[user], "-k", 1, *device, "--json"))
            # The catalogue's text begins with the title, as that of a new item will.
            rest = shown["text"].removeprefix(shown["title"]).strip()
            item = {"title": shown["title"], "text": rest, "image": shown["image"]}
            start = time.perf_counter()
            lines.write_text(json.dumps({"id": f"new{n}", **item}) + "\n")
            call("embed", "append", args.run, lines, "--store", store, *device)
            appends.append(time.perf_counter() - start)
            listed = json.loads(call("recommend", args.run, "--store", store, "--user", user, *device))
            seconds.append(time.perf_counter() - start)
            found += any(entry["item"] == f"new{n}" for entry in listed["items"])
    p95 = lambda values: statistics.quantiles(values, n=20)[-1]
    print(f"{len(users)} items, device {args.device}: line to list p50 {statistics.median(seconds):.2f} s, p95 {p95(seconds):.2f} s, "
          f"most {max(seconds):.2f} s; append alone p95 {p95(appends):.2f} s; {found} found among the first ten")


if __name__ == "__main__":
    main()
