"""One ODMT training step by the authors' own published code, timed on a workload of `codistill bench`.

    git clone https://github.com/xyliugo/ODMT
    git -C ODMT checkout 3d2ba25af7291e32d96159cba5e0054f4f5e5839
    python odmt_upstream.py WORKLOAD --authors ODMT      # or with ODMT_AUTHORS=ODMT in the environment
    python odmt_upstream.py --authors ODMT --check FIXTURES

Nothing of theirs is in this repository: `Model` (forward, losses, distillation) and `ModalDataset` (left padding,
masks) are imported from the clone, whose `code` folder has to be that commit's. Like its siblings, a run first checks
itself against the parity fixtures, in a process of its own.

What runs as published: whole feature tables in memory and indexed in the forward, padding and copies encoded, the
popularity table sent to the device and its logarithm taken at every step, every mask. AdamW over all parameters with
PyTorch's defaults, after clipping the global norm.

What is adapted, all of it at run time and nothing in their files:

- `lmdb`, `torchvision` and `PIL` are empty modules during the import: only their image readers use them.
- The settings, features and popularity come from the workload, not from command line, BERT, CLIP and files; title token
  ids, which their forward never reads, are zeros. `init` 0 and `version` v1; a distillation weight below 1 is their
  constant `alpha`, and 1 is the end of their ramp-up.
- On a CPU `.to(device)` copies nothing, and a `.view` of their forward then meets a slice it can't view: what their
  module gets from `torch.arange` copies there. On CUDA nothing is changed, and what they make on the host stays there
  until they move it.
- Their image mask has 50 columns. For other counts of image tokens their fusion transformer gets one of that size.
- Batches come from `ModalDataset` before the clock starts (their loader's worker processes prepare ahead); a step
  moves its batch to the device, as their training loop does.
- One process without their wrapper for several GPUs, and float32 (TF32 products on CUDA) as for every peer here. Their
  training loop uses float16 autocast and a gradient scaler on CUDA; neither does anything on a CPU.
"""

import importlib
import os
import pathlib
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import torch
from torch.utils.data import default_collate

import common
import odmt_check
from odmt_authors import Tables

COMMIT = "3d2ba25af7291e32d96159cba5e0054f4f5e5839"
CLONE = f"git clone https://github.com/xyliugo/ODMT && git -C ODMT checkout {COMMIT[:7]}, then --authors ODMT"
STUBS = ("lmdb", "torchvision", "torchvision.transforms", "PIL", "PIL.Image")
IMAGE_COLUMNS = 50
# In the order their forward computes them, under the names of the fixtures.
CE_NAMES = ("ce_id", "ce_t", "ce_v")
KD_NAMES = ("kd_t_from_id", "kd_v_from_id", "kd_id_from_ens")


class Copying(torch.Tensor):
    """A tensor whose `.to` gives contiguous memory, as a copy to a GPU does."""

    def to(self, *args):
        return self.as_subclass(torch.Tensor).to(*args).contiguous()


class CopyingTorch:
    """`torch` as their model module sees it on a CPU."""

    def __getattr__(self, name):
        return getattr(torch, name)

    def arange(self, *args, **options):
        return torch.arange(*args, **options).as_subclass(Copying)


def import_clone(folder):
    """Their module with `Model` and their class `ModalDataset`."""
    if not folder:
        common.fail("no clone of the authors' repository given", CLONE)
    code = pathlib.Path(folder) / "code"
    if not (code / "model" / "model.py").is_file():
        common.fail(f"{folder} is no clone of the authors' repository: code/model/model.py is missing", CLONE)
    # Compares the files themselves: also a changed file would be something else than what the docstring promises.
    line = ["git", "-C", str(folder), "diff", "--quiet", COMMIT, "--", "code"]
    try:
        differs = subprocess.run(line, capture_output=True, text=True)
    except OSError as error:
        common.fail(f"git cannot be started: {error.strerror}", "it compares the clone with the commit used here")
    if differs.returncode:
        said = differs.stderr.strip().partition("\n")[0]
        common.fail(f"the code in {folder} isn't that of commit {COMMIT[:7]}" + (said and f" (git: {said})"), CLONE)
    sys.dont_write_bytecode = True  # the clone stays as it is
    stubs = {name: ModuleType(name) for name in STUBS if name not in sys.modules}
    sys.modules |= stubs
    # A package around their folder: their `model` and `utils` are too general as names of their own.
    sys.modules["upstream"] = package = ModuleType("upstream")
    package.__path__ = [str(code)]
    try:
        model = importlib.import_module("upstream.model.model")
        dataset = importlib.import_module("upstream.utils.dataset")
    finally:
        for name in stubs:
            del sys.modules[name]
    return SimpleNamespace(model=model, ModalDataset=dataset.ModalDataset)


class Upstream:
    """Their model on our tables, with what `odmt_check` asks of a peer."""

    def __init__(self, code, settings, tables, device="cpu"):
        self.code, self.settings, self.tables, self.device = code, settings, tables, device
        if settings.tower_blocks != settings.tower_heads:
            common.fail("the authors' fusion transformer has as many heads as blocks",
                        f"the workload has tower_heads {settings.tower_heads}, tower_blocks {settings.tower_blocks}")
        if settings.layer_norm_eps != 1e-6:
            common.fail("the authors' code has an epsilon of 1e-6 in every LayerNorm", "leave out layer_norm_eps")
        if not 0 <= settings.distill_weight <= 1:
            common.fail("the authors' code has no distillation weight above 1", "set distill_weight from 0 to 1")
        features = settings.feature_width
        options = SimpleNamespace(
            embedding_dim=settings.width, id_embedding_dim=features, text_embedding_dim=features,
            image_embedding_dim=features, max_seq_len=settings.positions, drop_rate=settings.dropout,
            merged_att_layers=settings.tower_blocks, transformer_block=settings.encoder_blocks,
            num_attention_heads=settings.encoder_heads, alpha=settings.distill_weight, tau=settings.temperature,
            version="v1", init=0, item_tower="modal", ft_layer="trm",
        )
        if device == "cpu":
            code.model.torch = CopyingTorch()
        popularity = tables.log_popularity_I.double().exp().tolist()
        self.model = code.model.Model(options, popularity, settings.items, tables.text_ITF, tables.image_IVF)
        self.model.to(device).train()
        if settings.image_tokens != IMAGE_COLUMNS:
            self.model.IMT.register_forward_pre_hook(resize_image_mask)

    def parameters(self):
        return self.model.parameters()

    def assemble(self, rows_BS1):
        """A batch as their data loader hands it over: item ids, title token ids beside their mask, mask of inputs."""
        tokens = self.settings.text_tokens
        # Both on the host, where their dataset works.
        length_I1 = self.tables.text_length_I.cpu()[:, None]
        mask_IT = torch.arange(tokens, device="cpu") < length_I1
        content = torch.cat([torch.zeros_like(mask_IT), mask_IT], 1).int().numpy()
        sequences = [[item for item in row if item] for row in rows_BS1.tolist()]
        dataset = self.code.ModalDataset(sequences, content, self.settings.positions, tokens)
        return default_collate([dataset[user] for user in range(len(dataset))])

    def losses(self, batch):
        """Their two losses, cross-entropy and weighted distillation."""
        ids_BS1, text_BS1C, mask_BS = (part.to(self.device) for part in batch)
        text_NC = text_BS1C.view(-1, text_BS1C.shape[-1])
        return self.model(1, ids_BS1.view(-1), text_NC, mask_BS, self.device)

    def step_loss(self, batch):
        return sum(self.losses(batch))

    def loss(self, rows_BS1):
        """For the check only: the loss, and its terms as they pass by."""
        ce, kd, distill = [], [], self.code.model.kd_ce_loss

        def noted(*args):
            kd.append(distill(*args))
            return kd[-1]

        hook = self.model.criterion.register_forward_hook(lambda module, given, out: ce.append(out))
        self.code.model.kd_ce_loss = noted
        try:
            ce_total, kl = self.losses(self.assemble(rows_BS1))
        finally:
            self.code.model.kd_ce_loss = distill
            hook.remove()
        terms = dict(zip(CE_NAMES, ce, strict=True)) | dict(zip(KD_NAMES, kd, strict=True))
        return ce_total + kl, {**terms, "ce": ce_total, "kl": kl}

    def reference_parameters(self):
        return {name: parameter for name, parameter in self.model.named_parameters()
                if not name.startswith(odmt_check.UNUSED)}

    def load_reference(self, weights):
        self.model.load_state_dict(weights)

    def reference_gradients(self):
        return {name: parameter.grad for name, parameter in self.reference_parameters().items()}


def resize_image_mask(fusion, args):
    id_ND, text_NTD, text_mask_NT, image_NVD, image_mask, version = args
    image_mask_NV = image_mask.new_ones(image_NVD.shape[:2])
    return id_ND, text_NTD, text_mask_NT, image_NVD, image_mask_NV, version


def check_apart(args):
    command = [sys.executable, __file__, "--authors", str(args.authors), "--threads", str(args.threads), "--check",
               str(args.check or common.FIXTURES)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    print(done.stdout, end="", flush=True)
    if done.returncode:
        sys.exit(done.returncode)


def main():
    parser = common.arguments(__doc__)
    parser.add_argument("--authors", type=pathlib.Path, default=os.environ.get("ODMT_AUTHORS"), metavar="DIR",
                        help="clone of the authors' repository (default: ODMT_AUTHORS of the environment)")
    parser.add_argument("--check", type=pathlib.Path, help="folder of the parity fixtures")
    parser.add_argument("--no-check", action="store_true", help="time without checking first")
    args = parser.parse_args()
    code = import_clone(args.authors)
    common.prepare(args)
    contender = "authors-code"
    if not args.workload:
        if not args.check:
            common.fail("nothing to do", "give a workload directory, or --check FIXTURES")
        odmt_check.check([lambda settings, tables: Upstream(code, settings, tables)], args.check, contender, fused=None)
        return
    if not args.no_check:
        check_apart(args)
    workload = common.Workload(args.workload, ["odmt"])
    settings = workload.settings
    tables = Tables(
        workload.tensor("sequences", torch.int64), workload.tensor("text", torch.float32),
        workload.tensor("image", torch.float32), workload.tensor("text_length", torch.int64),
        workload.tensor("log_popularity"),
    )
    upstream = Upstream(code, settings, tables, args.device)
    # Their code makes some tensors on the host and moves them itself; made on the device, they would stay uncopied.
    torch.set_default_device(None)
    batches = [upstream.assemble(tables.rows(k, settings.users)) for k in range(settings.batches)]
    # Neither fused nor not: which AdamW runs is PyTorch's choice, as where the authors make theirs.
    optimiser = common.Optimiser(upstream.parameters(), settings, fused=None)
    count = sum(p.numel() for p in upstream.parameters())
    common.time_training(args, settings, contender, count, optimiser, lambda k: upstream.step_loss(batches[k]))


if __name__ == "__main__":
    main()
