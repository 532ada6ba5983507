"""Settings of the machine that trains. They change time, memory and rounding alone: no task's digest holds them."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Annotated

import torch
from pydantic import Field

from paris.experts.models.model import DiTExpert
from paris.experts.settings import Settings

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc, malloc.h
_KEPT_BYTES = 2**31 - 1
_LARGEST_FROM_HEAP_BYTES = 2**30


class MachineSettings(Settings):
    """What the owner of a machine may choose."""

    device: str = "cpu"
    """Such as "cpu", "cuda", "cuda:1", "mps"."""
    num_threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads of torch, for the whole process."""
    micro_batch_size: Annotated[int, Field(ge=1)] | None = None
    """Rows in memory together; None: the run's own, or else as many as are found to fit."""
    memory_limit_bytes: Annotated[int, Field(ge=1)] | None = None
    """For training on a CPU; None: the whole batch is taken. A GPU raises an error when it is full."""
    gpu_memory_share: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of a CUDA device's memory that the process may take; None: all of it."""
    checkpointing: bool = False
    """Keep only the input and output of each layer, and compute the rest again: a third more time, far less memory."""
    compile: bool = False
    """Compile before the first step (torch.compile: half a minute or more): worth it for long tasks."""
    batches_ahead: Annotated[int, Field(ge=1, le=64)] = 2
    """Batches prepared in the background before they are needed."""


def configure_model(model: DiTExpert, machine: MachineSettings, backend: str = "inductor") -> None:
    """Turn on checkpointing and compilation as set; outputs stay the same but for rounding.

    On a CPU one compilation serves all layers, which share their code. A GPU would wait for the Python between the
    layers: it gets the model compiled whole.
    """
    model.checkpointing = machine.checkpointing
    if not machine.compile:
        return
    is_whole = model.pos_embed.device.type == "cuda" and not machine.checkpointing
    for module in [model] if is_whole else model.layers:
        module.compile(backend=backend)


def limit_gpu_memory(device: torch.device, share: float | None) -> None:
    """Leave the rest of a CUDA device's memory to other programs: beyond the share it counts as full.

    Args:
        device: Others than CUDA's have no such limit.
        share: Above 0, up to 1; None: no limit.
    """
    if share is not None and device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(share, device)


def make_deterministic(device: torch.device, num_threads: int) -> None:
    """Make the whole process compute the same bits for the same input.

    That takes equal hardware, version of torch and number of threads, which decides the order of a sum.
    """
    torch.set_num_threads(num_threads)
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        # Not `warn_only`: with it the memory-efficient attention takes its order of sums by chance.
        torch.use_deterministic_algorithms(True)
        # Else every new tensor is filled before it is written: 500 kernels a step of DiT-B/2.
        torch.utils.deterministic.fill_uninitialized_memory = False


def keep_freed_memory() -> None:
    """Keep freed memory in this process instead of returning it to the system after every layer.

    Large tensors on a CPU come from the system page by page, with a fault for each, at every step. No-op
    without glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_FROM_HEAP_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
