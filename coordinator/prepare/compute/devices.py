"""The GPU of a process: the first that no other process of this machine has claimed.

    <temporary folder>/paris-gpu-<user>-<device>.lock      locked by the process that computes there

The system releases the lock of a killed process. With more processes than GPUs, the remaining ones share the first GPU.
"""

from __future__ import annotations

import functools
import os
import tempfile
from io import FileIO
from pathlib import Path

from paris.protocol.locks import try_lock

_held: list[FileIO] = []


@functools.lru_cache
def claimed_device(device: str) -> str:
    """The device to compute on; the same for every call in a process.

    Args:
        device: "cuda" claims a GPU; any other device is returned unchanged.
    """
    if device != "cuda":
        return device
    import torch

    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = seen.split(",") if seen else [str(number) for number in range(torch.cuda.device_count())]
    return f"cuda:{claim(names) or 0}"


def claim(names: list[str]) -> int | None:
    """Claim one of several resources for the lifetime of this process.

    Args:
        names: Their names, the same in every process of this machine.

    Returns:
        The place in `names`, or None if all are claimed.
    """
    for number, name in enumerate(names):
        lock = try_lock(Path(tempfile.gettempdir()) / f"paris-gpu-{os.getuid()}-{name}.lock")
        if lock is not None:
            _held.append(lock)
            return number
    return None
