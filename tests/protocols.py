"""Holds figures under `recbole`, `rectools` and `replay` against those libraries' own metrics. Outside CI: needs their packages.

    python3 -m venv VENV
    VENV/bin/pip install --no-deps recbole==1.2.1 rectools==0.19.0 replay-rec==0.22.0
    VENV/bin/pip install 'numpy<2' 'pandas<2.3' scipy scikit-learn polars pyarrow attrs typeguard pydantic tqdm typing-extensions
    codistill prepare movielens-small-posters/original/ratings.csv --user-core 1 --item-core 5 -o DATA
    cargo build --release --example lists
    VENV/bin/python tests/protocols.py target/release/examples/lists DATA

The program prints the lists of baselines and its own figures; each library computes its metrics on the same lists. All must
agree to 1e-9, with equal scores and users without a list among them. Of RecBole the module of metrics alone is loaded, with
stand-ins for what it imports and the metrics of lists never call (torch among it). A last check makes sure that the ties of the
lists decide something: read by another rule, some figure must differ.
"""

import functools
import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

KS = (1, 5, 10, 20)
PINNED = {"recbole": "1.2.1", "rectools": "0.19.0", "replay-rec": "0.22.0"}
LONGEST = max(KS)


def rows(program, data, protocol):
    """The baselines with our metrics and lists."""
    said = subprocess.run([program, data, protocol], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [json.loads(line) for line in said.splitlines()]


@functools.cache
def recbole_metrics():
    """The module `recbole.evaluator.metrics` of the installed release."""

    def stand_in(name, **names):
        module = types.ModuleType(name)
        vars(module).update(names)
        sys.modules[name] = module

    home = Path(importlib.util.find_spec("recbole").submodule_search_locations[0])
    enum = types.SimpleNamespace(RANKING=1, VALUE=2)
    stand_in("torch", Tensor=object)
    stand_in("recbole")
    stand_in("recbole.utils", EvaluatorType=enum)
    stand_in("recbole.evaluator")
    stand_in("recbole.evaluator.utils", _binary_clf_curve=None)
    if not hasattr(np, "float"):
        np.float = float  # The release was written for a numpy that had this name.
    for name in ("base_metric", "metrics"):
        spec = importlib.util.spec_from_file_location(f"recbole.evaluator.{name}", home / "evaluator" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    return module


def recbole(users):
    """Metrics from the matrix of hits, which RecBole's collector hands to them: an absent place is no hit."""
    metrics = recbole_metrics()
    hits = np.zeros((len(users), LONGEST), dtype=bool)
    for row, user in zip(hits, users):
        items = [item for item, _ in user["list"][:LONGEST]]
        row[: len(items)] = [item == user["target"] for item in items]
    length = np.ones(len(users), dtype=int)
    config = {"metric_decimal_place": 15, "topk": list(KS)}
    found = {}
    for ours, kind, args in (
        ("hit", metrics.Hit, (hits,)),
        ("recall", metrics.Recall, (hits, length)),
        ("ndcg", metrics.NDCG, (hits, length)),
        ("mrr", metrics.MRR, (hits,)),
    ):
        found |= kind(config).topk_result(ours, kind(config).metric_info(*args))
    return found


def rectools(users):
    """Metrics of a table with ranks, as it comes from `recommend`."""
    from rectools.metrics import MRR, NDCG, HitRate, Recall

    reco = pd.DataFrame(
        [(u["user"], item, rank) for u in users for rank, (item, _) in enumerate(u["list"][:LONGEST], 1)],
        columns=["user_id", "item_id", "rank"],
    )
    truth = pd.DataFrame([(u["user"], u["target"]) for u in users], columns=["user_id", "item_id"])
    found = {}
    for k in KS:
        for ours, metric in (("hit", HitRate(k)), ("recall", Recall(k)), ("ndcg", NDCG(k)), ("mrr", MRR(k))):
            found[f"{ours}@{k}"] = metric.calc(reco, truth)
        # What the name suggests, and our own definition under the other protocols.
        found[f"achievable@{k}"] = NDCG(k, divide_by_achievable=True).calc(reco, truth)
    return found


def replay(users):
    """Metrics of a table with scores, which RePlay sorts itself."""
    from replay.metrics import MRR, NDCG, HitRate, Recall

    table = pd.DataFrame(
        [(u["user"], item, score) for u in users for item, score in u["list"]],
        columns=["query_id", "item_id", "rating"],
    )
    truth = pd.DataFrame([(u["user"], u["target"]) for u in users], columns=["query_id", "item_id"])
    found = {}
    for ours, metric in (("hit", HitRate), ("recall", Recall), ("ndcg", NDCG), ("mrr", MRR)):
        for name, value in metric(list(KS))(table, truth).items():
            found[f"{ours}@{name.split('@')[1]}"] = value
    return found


def check(protocol, own, theirs):
    """The largest difference between our figures and theirs."""
    largest = 0.0
    for name, value in theirs.items():
        kind, k = name.split("@")
        if kind == "achievable":
            ideal = sum(1 / np.log2(place + 1) for place in range(1, int(k) + 1))
            ours = own["metrics"][f"ndcg@{k}"] * ideal
        else:
            ours = own["metrics"][f"recall@{k}" if kind == "hit" else name]
        gap = abs(ours - value)
        largest = max(largest, gap)
        if not gap <= 1e-9:
            raise SystemExit(f"{protocol}, {own['baseline']}, {name}: ours {ours!r}, theirs {value!r}")
    return largest


def main():
    program, data = sys.argv[1:]
    for package, release in PINNED.items():
        found = importlib.metadata.version(package)
        if found != release:
            raise SystemExit(f"{package} is {found}, and {release} was asked for")
    libraries = {"rectools": rectools, "replay": replay, "recbole": recbole}
    tied = 0.0
    for protocol, library in libraries.items():
        for own in rows(program, data, protocol):
            empty = sum(not u["list"] for u in own["users"])
            longer = sum(len(u["list"]) > LONGEST for u in own["users"])
            gap = check(protocol, own, library(own["users"]))
            hits = own["metrics"]["recall@10"]
            print(
                f"{protocol:9} {own['baseline']:22} recall@10 {hits:.4f} ndcg@10 {own['metrics']['ndcg@10']:.4f}  "
                f"{len(own['users'])} users, {empty} without a list, {longer} with a tie at the cut; largest gap {gap:.1e}"
            )
            if protocol == "replay":
                # The same lists by the other rule: were nothing different, the ties would prove nothing.
                theirs = rectools(own["users"])
                tied = max(tied, abs(theirs["mrr@10"] - own["metrics"]["mrr@10"]))
    if tied < 1e-6:
        raise SystemExit("no figure depends on ties: the lists prove nothing about them")
    print(f"all agree; by the other rule for ties a figure differs by {tied:.4f}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
