"""How one machine does a training: what its owner may choose, and what changes nothing but time, memory and rounding.

None of this is part of a task's digest.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Annotated

import torch
from pydantic import Field

from paris.experts.errors import SettingsError
from paris.experts.models.model import DiTExpert
from paris.experts.settings import Settings

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc, malloc.h
_KEPT_BYTES = 2**31 - 1
_LARGEST_FROM_HEAP_BYTES = 2**30


class MachineSettings(Settings):
    """What the owner of a machine may choose."""

    micro_batch_size: Annotated[int, Field(ge=1)] | None = None
    """Rows in memory together; None: the run's own, or else as many as are found to fit."""
    memory_limit_bytes: Annotated[int, Field(ge=1)] | None = None
    """What training on a CPU may take; None: not known, the whole batch is taken. A GPU says itself when it is full."""
    checkpointing: bool = False
    """Keep only what goes in and out of each layer, and compute the rest again: a third more time, far less memory."""
    compile: bool = False
    """Compile before the first step (torch.compile: half a minute or more): worth it for long tasks."""
    batches_ahead: Annotated[int, Field(ge=1, le=64)] = 2
    """Batches prepared in the background before they are needed."""


def prepare(model: DiTExpert, settings: MachineSettings, backend: str = "inductor") -> None:
    """Make a model compute as the machine's owner chose; what it computes stays the same but for rounding.

    All layers share their code, so that one compilation serves them all. A GPU gets the model compiled whole: it
    would wait for what Python does between the layers.

    Args:
        model: On its device.
        settings: What was chosen.
        backend: What torch.compile makes code with.
    """
    model.checkpointing = settings.checkpointing
    if not settings.compile:
        return
    is_whole = model.pos_embed.device.type == "cuda" and not settings.checkpointing
    for part in [model] if is_whole else model.layers:
        part.compile(backend=backend)


def check_precision(device: torch.device, precision: str) -> None:
    """Refuse what a device cannot compute in, before anything is trained.

    Args:
        device: Where the model computes.
        precision: As in `TrainingConfig`.

    Raises:
        SettingsError: The device has no such arithmetic.
    """
    if precision == "float32":
        return
    is_there = torch.amp.autocast_mode.is_autocast_available(device.type)
    if is_there and precision == "bfloat16" and device.type == "cuda":
        is_there = torch.cuda.is_bf16_supported()
    if not is_there:
        raise SettingsError(
            f"The run computes in {precision}, which the device {str(device)!r} does not know.",
            "Train on another device, or join a run that computes in float32.",
        )


def keep_freed_memory() -> None:
    """Let this process keep the memory it frees instead of giving it back to the system after every layer.

    Large tensors on a CPU come from the system page by page, at the price of a fault for each, step after step. For
    glibc alone; elsewhere nothing is changed.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_FROM_HEAP_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
