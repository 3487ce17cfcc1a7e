"""What every PyTorch peer of `codistill bench` shares: the workload directory, threads and allocator, training steps.

What peers without PyTorch share too is in process.py. Timed step i uses batch i % K of the K batches in the workload, and so does warm-up step i.
"""

import ctypes
import json
import pathlib
import sys
import time
from dataclasses import dataclass, fields

import torch
from safetensors import safe_open

from process import arguments, emit, fail, forget_peak, peak_rss_bytes, time_calls  # noqa: F401

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "tests" / "fixtures"


@dataclass
class Settings:
    """The keys of `workload.json` a peer reads; keys it doesn't know (other kinds, FLOP counts) are left alone."""

    name: str = ""
    kind: str = ""
    profile: str = ""
    users: int = 0
    positions: int = 0
    width: int = 0
    feature_width: int = 0
    text_tokens: int = 0
    image_tokens: int = 0
    tower_blocks: int = 2
    tower_heads: int = 2
    encoder_blocks: int = 2
    encoder_heads: int = 2
    items: int = 0
    temperature: float = 0.5
    distill_weight: float = 0.8
    dropout: float = 0.1
    lr: float = 1e-4
    weight_decay: float = 0.1
    clip_norm: float = 5.0
    layer_norm_eps: float = 1e-6
    batches: int = 1
    seed: int = 1


class Workload:
    """`workload.json` and the tensors beside it."""

    def __init__(self, folder, kinds):
        self.folder = pathlib.Path(folder)
        raw = json.loads((self.folder / "workload.json").read_text())
        known = {field.name for field in fields(Settings)}
        self.settings = Settings(**{key: value for key, value in raw.items() if key in known})
        if self.settings.kind not in kinds:
            fail(f"workload kind {self.settings.kind!r} is not for this peer", f"it runs {', '.join(kinds)}")

    def tensor(self, name, dtype=None):
        """One tensor in memory of its own. The file is closed again at once: a mapped file would count as memory."""
        with safe_open(self.folder / "workload.safetensors", "pt") as file:
            tensor = file.get_tensor(name)
            return tensor.to(torch.get_default_device(), dtype or tensor.dtype, copy=True)

    def tensors(self):
        """All of them, by name."""
        with safe_open(self.folder / "workload.safetensors", "pt") as file:
            names = list(file.keys())
        return {name: self.tensor(name) for name in names}


def prepare(args, allocator="default"):
    """Threads, seed and allocator, before the first tensor is made."""
    if args.steps < 1 or args.warmup < 0:
        fail("nothing to time", "--steps is at least 1, --warmup at least 0")
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    if args.device != "cpu":
        # Tensors are made where they are used. Not for cpu, where this would only cost time at every call.
        torch.set_default_device(args.device)
        torch.backends.cuda.matmul.allow_tf32 = True
    # The optimiser's first step loads much of the library, whatever the model: that is runtime, not the task's memory.
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))]).step()
    args.runtime_rss_bytes = peak_rss_bytes()
    args.allocator = args.allocator or allocator
    if args.allocator == "keep":
        # glibc hands large blocks back to the system at every free, and the next tensor pays a page fault per 4 KiB.
        # PyTorch's tuning guide swaps the allocator for that reason; two glibc settings do the same without a library.
        libc = ctypes.CDLL(None)
        m_trim_threshold, m_mmap_threshold = -1, -3
        for setting in (m_trim_threshold, m_mmap_threshold):
            if not libc.mallopt(setting, 2**31 - 1):
                print("warning: this C library ignores mallopt, freed memory is not kept", file=sys.stderr)


class Optimiser:
    """AdamW with decoupled decay on every parameter after clipping the global norm (docs/odmt.md, section 4)."""

    def __init__(self, parameters, settings, fused):
        self.parameters = list(parameters)
        self.clip_norm = settings.clip_norm
        self.fused = fused
        self.adamw = torch.optim.AdamW(self.parameters, lr=settings.lr, betas=(0.9, 0.999), eps=1e-8,
                                       weight_decay=settings.weight_decay, fused=fused)

    def zero_grad(self):
        self.adamw.zero_grad(set_to_none=True)

    def step(self):
        """Returns the gradient norm before clipping."""
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.clip_norm, foreach=self.fused)
        self.adamw.step()
        return norm


def sync(args):
    """Waits for what was started on the device."""
    if args.device != "cpu":
        torch.cuda.synchronize()


def about(args):
    """What every `done` line says."""
    return {"runtime_rss_bytes": args.runtime_rss_bytes, "allocator": args.allocator, "threads": args.threads,
            "torch": torch.__version__,
            "device_peak_bytes": torch.cuda.max_memory_allocated() if args.device != "cpu" else None}


def time_training(args, settings, contender, parameters, optimiser, loss_of_batch):
    """Warm-up, then `--steps` timed optimiser steps. `loss_of_batch(k)` assembles batch k and returns its loss."""
    loaded = peak_rss_bytes()
    for j in range(-args.warmup, args.steps):
        if j == 0:
            peak_before = peak_rss_bytes()
            reset = forget_peak()
        start = time.perf_counter()
        optimiser.zero_grad()
        loss = loss_of_batch((j if j >= 0 else j + args.warmup) % settings.batches)
        loss.backward()
        optimiser.step()
        sync(args)
        seconds = time.perf_counter() - start
        if j >= 0:
            emit("step", index=j, seconds=seconds, loss=loss.item())
        else:
            print(f"warm-up {j + args.warmup}: {seconds:.3f} s", file=sys.stderr)
    peak = peak_rss_bytes()
    done = {
        "peak_rss_bytes": max(peak, peak_before),
        # What the interpreter and the library take before any data, and with the data and the model.
        **about(args),
        "loaded_rss_bytes": loaded,
        "parameters": parameters,
        "contender": args.contender or contender,
    }
    if reset:
        # Without warm-up, where a compiled graph pays for its compiler.
        done["peak_rss_steps_bytes"] = peak
    emit("done", **done)


def use_inductor():
    """`torch.compile` on CPU: needs a C++ compiler, and random numbers from the library."""
    import torch._inductor.config
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except Exception as error:  # the exception's type is private to the compiler package
        fail(f"torch.compile finds no C++ compiler: {error}", "install g++, or leave out --compile")
    # Inductor's own generator for CPU works number by number; with the library's a step took two thirds of the time.
    torch._inductor.config.fallback_random = True
