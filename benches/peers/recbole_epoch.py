"""One training epoch of RecBole's SASRec (full-softmax cross-entropy) over the sequences of a `sasrec` workload.

    pip install -r requirements-recbole.txt        # an environment of its own: it needs an older numpy and pandas
    python recbole_epoch.py WORKLOAD [--rows 2048]

RecBole trains on prefixes: a user of n items becomes n-1 rows, each encoded over all S positions for one target. The
workload's own step takes all targets of a user from one pass. What compares is therefore the time for the same targets:
a `step` line carries the epoch's seconds divided by the workload's number of batches K, and the epoch's own seconds.

Differences that stay: RecBole's optimiser is Adam without decay (it offers no AdamW), its rows per batch are `--rows`
(its default is 2048), and assembling a batch goes through its data loader, as it does for its users.
"""

import os
import pathlib
import tempfile
import time

import torch

import common


def write_atomic(folder, sequences, items):
    """RecBole's files. Two interactions more per user: its leave-one-out split takes the last two away again."""
    name = "workload"
    home = pathlib.Path(folder) / name
    home.mkdir()
    targets = 0
    with open(home / f"{name}.inter", "w") as file:
        file.write("user_id:token\titem_id:token\ttimestamp:float\n")
        for user, row in enumerate(sequences.tolist()):
            row = [item for item in row if item]
            targets += len(row) - 1
            for at, item in enumerate(row + [row[-1]] * 2):
                file.write(f"u{user}\ti{item}\t{at}\n")
    # Every item of the catalogue, so that the softmax has the workload's width.
    with open(home / f"{name}.item", "w") as file:
        file.write("item_id:token\n")
        file.writelines(f"i{item}\n" for item in range(1, items + 1))
    return name, targets


def config_of(settings, folder, rows):
    return {
        "data_path": str(folder), "checkpoint_dir": str(folder), "use_gpu": False, "show_progress": False,
        "state": "ERROR", "seed": settings.seed, "reproducibility": False,
        "load_col": {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id"]},
        "USER_ID_FIELD": "user_id", "ITEM_ID_FIELD": "item_id", "TIME_FIELD": "timestamp",
        "MAX_ITEM_LIST_LENGTH": settings.positions,
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full", "group_by": "user"},
        "train_neg_sample_args": None, "loss_type": "CE", "train_batch_size": rows,
        "hidden_size": settings.width, "inner_size": 4 * settings.width, "n_layers": settings.encoder_blocks,
        "n_heads": settings.encoder_heads, "hidden_act": "relu", "hidden_dropout_prob": settings.dropout,
        "attn_dropout_prob": settings.dropout, "layer_norm_eps": settings.layer_norm_eps,
        "learner": "adam", "learning_rate": settings.lr, "weight_decay": 0.0,
        "clip_grad_norm": {"max_norm": settings.clip_norm, "norm_type": 2}, "epochs": 1,
    }


def main():
    parser = common.arguments(__doc__)
    parser.add_argument("--rows", type=int, default=2048, help="prefix rows per optimiser step")
    parser.set_defaults(warmup=0, steps=1)
    args = parser.parse_args()
    common.prepare(args)
    if not args.workload:
        common.fail("no workload", "give the directory of `codistill bench NAME --write DIR`")
    workload = common.Workload(args.workload, ["sasrec"])
    settings = workload.settings
    sequences = workload.tensor("sequences")
    with tempfile.TemporaryDirectory() as folder:
        name, targets = write_atomic(folder, sequences, settings.items)
        config = config_of(settings, folder, args.rows)
        # It writes logs and event files into the working directory.
        os.chdir(folder)
        from recbole.config import Config
        from recbole.data import create_dataset, data_preparation
        from recbole.utils import get_model, get_trainer

        resolved = Config(model="SASRec", dataset=name, config_dict=config)
        data = create_dataset(resolved)
        train, _, _ = data_preparation(resolved, data)
        rows = len(train.dataset)
        if rows != targets or data.item_num != settings.items + 1:
            common.fail(f"RecBole made {rows} rows and {data.item_num} items",
                        f"expected {targets} and {settings.items + 1}")
        torch.set_num_threads(args.threads)
        model = get_model("SASRec")(resolved, train.dataset)
        trainer = get_trainer(resolved["MODEL_TYPE"], "SASRec")(resolved, model)
        loaded = common.peak_rss_bytes()
        for j in range(args.warmup + args.steps):
            start = time.perf_counter()
            loss = trainer._train_epoch(train, j, show_progress=False)
            seconds = time.perf_counter() - start
            if j >= args.warmup:
                common.emit("step", index=j - args.warmup, seconds=seconds / settings.batches, epoch_seconds=seconds,
                            targets=targets, loss=loss / len(train))
        count = sum(p.numel() for p in model.parameters())
        common.emit("done", contender=args.contender or "recbole", parameters=count,
                    peak_rss_bytes=common.peak_rss_bytes(), runtime_rss_bytes=args.runtime_rss_bytes,
                    loaded_rss_bytes=loaded, allocator=args.allocator, threads=args.threads, torch=torch.__version__)


if __name__ == "__main__":
    main()
