"""One expert's file, checked once and then read again and again into tensors that exist already.

A safetensors file: 8 bytes that say how long the header is (little-endian), a JSON header, the tensors' bytes.

{"layers.0.attn.in_proj_weight": {"dtype": "F32", "shape": [2304, 768], "data_offsets": [0, 7077888]}, ...}

The offsets count from the header's end. Reading goes from the file into the tensors' own memory: there is no second
copy, and no mapped file whose pages would count as this process's memory.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from paris.experts.errors import CheckpointError
from paris.experts.weights.checkpoint import TensorSpec, check_specs, read_specs

CHUNK = 32_768
"""Elements that are read, converted and checked together: so few that torch converts them on the thread that asks.
A team of threads for the reading would take the processor from the expert that computes meanwhile."""

_MAX_HEADER_BYTES = 100_000_000
_EXPONENT_BITS = {
    torch.float64: (np.int64, 0x7FF0_0000_0000_0000),
    torch.float32: (np.int32, 0x7F80_0000),
    torch.float16: (np.int16, 0x7C00),
    torch.bfloat16: (np.int16, 0x7F80),
}


class Place(NamedTuple):
    """Where a tensor lies in the file."""

    start: int
    """Its first byte, counted from the file's beginning."""
    dtype: torch.dtype


class WeightsFile:
    """A safetensors file that holds exactly the tensors of a model, in whatever floating types.

    Args:
        path: The file; its header is read and checked now, its tensors are not.
        name: What messages call it, "expert_3".
        expected: The model's names and shapes, from `specs_of`.

    Raises:
        CheckpointError: Not readable, or other names or shapes than expected.
    """

    def __init__(self, path: Path, name: str, expected: Mapping[str, TensorSpec]) -> None:
        self._path, self._name = path, name
        try:
            found = read_specs(path)
            check_specs(found, {key: _as_stored(spec, found.get(key)) for key, spec in expected.items()}, path.name)
            with path.open("rb", buffering=0) as file:
                self._stamp = _stamp(file)
                where = places(file, found)
        except CheckpointError as error:
            raise self._refusal(error.what) from error
        except OSError as error:
            raise self._refusal(f"{path.name} cannot be read: {error.strerror}.") from error
        self._places = dict(sorted(where.items(), key=lambda pair: pair[1].start))

    def read_into(self, tensors: Mapping[str, Tensor]) -> None:
        """Fill tensors from the file.

        Args:
            tensors: All of the file's, of its shapes, contiguous, on the CPU, of any floating type.

        Raises:
            CheckpointError: The file has changed since it was checked, cannot be read, or a value is not finite in
                the tensor's type. What the tensors hold then is of no use.
        """
        try:
            with self._path.open("rb", buffering=0) as file:
                if _stamp(file) != self._stamp:
                    raise self._refusal(f"{self._path.name} has changed since the model was opened.", "Open it again.")
                for key, place in self._places.items():
                    file.seek(place.start)
                    self._read_one(file, key, place.dtype, tensors[key])
        except OSError as error:
            raise self._refusal(f"{self._path.name} cannot be read: {error.strerror}.") from error

    def _read_one(self, file: io.FileIO, key: str, stored: torch.dtype, tensor: Tensor) -> None:
        staging = None if tensor.dtype == stored else torch.empty(min(CHUNK, tensor.numel()), dtype=stored)
        for piece in tensor.detach().view(-1).split(CHUNK) if tensor.numel() else ():
            landing = piece if staging is None else staging[: len(piece)]
            if not _filled(file, landing):
                raise self._refusal(f"{self._path.name} ends within {key!r}.")
            if staging is not None:
                piece.copy_(landing)
            if not is_finite(piece):
                raise self._refusal(f"{self._path.name}: {key!r} holds a value that is not finite.")

    def _refusal(self, what: str, next_step: str = "Fetch the model again.") -> CheckpointError:
        return CheckpointError(f"{self._name}: {what}", next_step)


def is_finite(values: Tensor) -> bool:
    """Whether no value is NaN or infinite: whether none has all bits of its exponent set (IEEE 754, section 3.4).

    On one thread and in one pass, where `torch.isfinite(values).all()` takes several and temporary tensors.

    Args:
        values: `[N]` on the CPU, of a floating type, at least one.
    """
    integer, bits = _EXPONENT_BITS[values.dtype]
    raw = values.view(torch.uint8).numpy().view(integer)
    return bool((raw & bits).max() != bits)


def _as_stored(spec: TensorSpec, found: TensorSpec | None) -> TensorSpec:
    """The same shape, in whatever floating type the file holds it."""
    return TensorSpec(spec.shape, found.dtype) if found and found.dtype.is_floating_point else spec


def _stamp(file: io.FileIO) -> tuple[int, int]:
    """Size and time of the last change: what another file in the same place would not have."""
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def places(file: io.FileIO, found: Mapping[str, TensorSpec]) -> dict[str, Place]:
    """Where the tensors lie, each checked to have its shape's number of bytes within the file.

    `read_specs` has refused malformed headers before; the file may have been exchanged since, so nothing is trusted.

    Args:
        file: At its beginning.
        found: From `read_specs`.

    Raises:
        CheckpointError: The header is malformed, or a tensor cannot lie where it says.
    """
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(size - 8, _MAX_HEADER_BYTES):
        raise CheckpointError(f"its header is said to have {length} bytes, the file has {size}.")
    try:
        header = json.loads(file.read(length))
        offsets = {key: header[key]["data_offsets"] for key in found}
        bounds = {key: (int(begin), int(end)) for key, (begin, end) in offsets.items()}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointError(f"its header is malformed: {error!r}.") from error
    for key, (begin, end) in bounds.items():
        wanted = torch.Size(found[key].shape).numel() * found[key].dtype.itemsize
        if end - begin != wanted or not 0 <= begin <= end <= size - 8 - length:
            raise CheckpointError(f"{key!r} is said to lie at bytes {begin} to {end}, which cannot be.")
    return {key: Place(8 + length + begin, found[key].dtype) for key, (begin, _) in bounds.items()}


def _filled(file: io.FileIO, piece: Tensor) -> bool:
    """Read into a tensor's memory; False where the file ends before the tensor does."""
    rest = memoryview(piece.view(torch.uint8).numpy())
    while rest:
        count = file.readinto(rest)
        if not count:
            return False
        rest = rest[count:]
    return True
