"""Checks an ODMT peer against the parity fixtures, dropout off, before anyone times it.

Main case: eight loss terms, the gradient of every parameter, the global norm, and the weights after one clipped AdamW
step. `big` case (16 users, many copies of 12 items, left padding): loss terms, gradient norms. The tolerances are those
of the fixtures' README; a parameter the peer lacks or a gradient that is missing fails the check.
"""

import math

import torch
from safetensors import safe_open

from common import Optimiser, Settings, emit, fail
from odmt_authors import Tables

LOSS_RELATIVE = 2e-6
GRADIENT_RELATIVE = 2e-5
WEIGHT_ABSOLUTE = 1e-6
# Never read by the forward pass, so without gradient and never updated (docs/odmt.md, section 8, no. 5).
UNUSED = ("IMT.layer_norm.", "IMT.token_type_embeddings.")


def read(path):
    with safe_open(path, "pt") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}


def settings_of(metadata, rows, weight):
    return Settings(
        name="parity", kind="odmt", users=len(rows), positions=int(metadata["seq"]), width=int(metadata["dim"]),
        feature_width=int(metadata["feat_dim"]), text_tokens=int(metadata["text_tokens"]),
        image_tokens=int(metadata["image_tokens"]), tower_blocks=int(metadata["layers_imt"]),
        tower_heads=int(metadata["heads_imt"]), encoder_blocks=int(metadata["layers_user"]),
        encoder_heads=int(metadata["heads_user"]), items=int(metadata["items"]), temperature=float(metadata["tau"]),
        distill_weight=weight, dropout=0.0, lr=float(metadata["lr"]), weight_decay=float(metadata["weight_decay"]),
        clip_norm=float(metadata["clip_norm"]), layer_norm_eps=float(metadata["ln_eps"]),
    )


class Report:
    """The worst error of each sort beside what is allowed, and what went over."""

    def __init__(self):
        self.worst, self.over = {}, []

    def add(self, sort, name, error, allowed):
        self.worst[sort] = max(self.worst.get(sort, 0.0), error)
        if not error <= allowed:
            self.over.append(f"{name}: {sort} {error:.2e}, allowed {allowed:.0e}")


def run_case(build, metadata, main, data, prefix, report, fused):
    """One batch forward and backward, with every number the file has for it compared."""
    rows = data[prefix + "in.item_ids"]
    settings = settings_of(metadata, rows, float(data[prefix + "out.kd_weight"]))
    tables = Tables(rows, main["in.t_feat"], main["in.v_feat"], main["in.text_len"], main["in.pop_prob"].log())
    model = build(settings, tables)
    model.load_reference({name[2:]: value for name, value in main.items() if name.startswith("w.")})
    optimiser = Optimiser(model.parameters(), settings, fused)
    total, terms = model.loss(rows)
    total.backward()
    for name, value in terms.items():
        value = value.detach()
        expected = float(data[f"{prefix}out.{name}"])
        report.add("loss, relative", prefix + name, abs(float(value) - expected) / abs(expected), LOSS_RELATIVE)
    gradients = model.reference_gradients()
    wanted = {name[2:] for name in main if name.startswith("w.") and not name[2:].startswith(UNUSED)}
    if wanted != set(gradients):
        report.over.append(f"parameters differ from the fixtures': {sorted(wanted ^ set(gradients))}")
    for name in sorted(wanted & set(gradients)):
        got = gradients[name]
        if got is None:
            report.over.append(f"{prefix}{name}: no gradient")
            continue
        expected = float(data[f"{prefix}gn.{name}"])
        report.add("gradient norm, relative", prefix + name, abs(float(got.norm()) - expected) / expected,
                   GRADIENT_RELATIVE)
        if f"{prefix}g.{name}" in data:
            exact = data[f"{prefix}g.{name}"]
            report.add("gradient, relative", prefix + name, float((got - exact).norm() / exact.norm()),
                       GRADIENT_RELATIVE)
    expected = float(data[prefix + "out.grad_norm_total"])
    norm = float(optimiser.step())
    report.add("global norm, relative", prefix + "grad_norm_total", abs(norm - expected) / expected, GRADIENT_RELATIVE)
    for name, after in model.reference_parameters().items():
        if f"{prefix}w1.{name}" in data:
            # Where the gradient is almost nothing, its sign is rounding and AdamW's first step follows the sign.
            steady = data[f"{prefix}g.{name}"].abs() > 1e-5
            error = (after.detach() - data[f"{prefix}w1.{name}"])[steady].abs()
            report.add("weight after a step, absolute", prefix + name, float(error.max()) if len(error) else 0.0,
                       WEIGHT_ABSOLUTE)


def check(builds, folder, contender, fused):
    """Every `build(settings, tables)` makes a model. Prints a `check` line; ends the process if anything is over."""
    torch.manual_seed(1)
    metadata, main = read(folder / "odmt_parity_v1.safetensors")
    _, extra = read(folder / "odmt_parity_extra.safetensors")
    report = Report()
    for build in builds:
        run_case(build, metadata, main, main, "", report, fused)
        run_case(build, metadata, main, extra, "big.", report, fused)
    worst = {sort: float(f"{e:.3g}") if math.isfinite(e) else str(e) for sort, e in report.worst.items()}
    emit("check", contender=contender, passed=not report.over, worst=worst)
    if report.over:
        fail(f"{contender} disagrees with the fixtures\n  " + "\n  ".join(report.over[:20]),
             "a peer that computes something else must not be timed")
