"""Reads one tensor at a time from a file with a checked header, so that memory use stays at one tensor."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from paris.coordinator.errors import NotReadyError
from paris.coordinator.verify.bounds import VerificationBounds
from paris.coordinator.verify.header import TensorEntry, read_header
from paris.coordinator.verify.report import CheckFailed, Checks

_TORCH = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class TensorFile:
    """A safetensors file of weights, mapped into memory.

    Args:
        path: The file.
        entries: Its checked header; every dtype is one of F32, F16, BF16.
    """

    def __init__(self, path: Path, entries: Mapping[str, TensorEntry]) -> None:
        self.path = path
        self.entries = entries
        self._bytes = np.memmap(path, np.uint8, "r")

    def read(self, name: str) -> Tensor:
        """One tensor as float32, in its shape."""
        return self._typed(name, 0, None).float().reshape(self.entries[name].shape)

    def read_block(self, name: str, start: int, count: int) -> Tensor:
        """A part of one flattened tensor as float32 `[count]`; only its pages are read.

        Args:
            name: The tensor.
            start: First value.
            count: Number of values.
        """
        return self._typed(name, start, count).float()

    def _typed(self, name: str, start: int, count: int | None) -> Tensor:
        entry = self.entries[name]
        dtype = _TORCH[entry.dtype]
        begin = entry.begin + start * dtype.itemsize
        end = entry.end if count is None else begin + count * dtype.itemsize
        with warnings.catch_warnings():
            # The mapping is read-only and the tensor is never written; torch cannot express that and warns.
            warnings.filterwarnings("ignore", message=".*not writable.*")
            raw = torch.from_numpy(self._bytes[begin:end])
        # Offsets need not be multiples of the item size, which a view requires.
        return (raw if begin % dtype.itemsize == 0 else raw.clone()).view(dtype)

    def state(self) -> dict[str, Tensor]:
        """All tensors as float32, by name."""
        return {name: self.read(name) for name in self.entries}


def open_trusted(path: Path, bounds: VerificationBounds) -> TensorFile:
    """Open a checkpoint that has already passed verification.

    Raises:
        NotReadyError: The file is missing or damaged.
    """
    try:
        entries = read_header(path, Checks(), max_bytes=bounds.max_header_bytes, max_depth=bounds.max_header_depth)
    except (OSError, CheckFailed) as error:
        raise NotReadyError(
            f"The kept checkpoint {path} cannot be read: {error}.", "Fetch it again from the registry."
        ) from error
    return TensorFile(path, entries)
