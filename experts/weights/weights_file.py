"""One expert's safetensors file, checked once and read repeatedly into existing tensors.

The format: the header's length in 8 bytes (little-endian), a JSON header, the tensors' bytes.

{"layers.0.attn.in_proj_weight": {"dtype": "F32", "shape": [2304, 768], "data_offsets": [0, 7077888]}, ...}

Offsets count from the header's end. The bytes are read straight into the tensors' memory: no second copy, and no mapped
file whose pages count as this process's memory.
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
"""Elements read, converted and checked at a time: so few that torch converts them on the calling thread. More threads
would take the processor from the expert that computes meanwhile."""

_MAX_HEADER_BYTES = 100_000_000
_EXPONENT_BITS = {
    torch.float64: (np.int64, 0x7FF0_0000_0000_0000),
    torch.float32: (np.int32, 0x7F80_0000),
    torch.float16: (np.int16, 0x7C00),
    torch.bfloat16: (np.int16, 0x7F80),
}


class TensorLocation(NamedTuple):
    """Position of a tensor in the file."""

    start: int
    """Byte offset from the file's beginning."""
    dtype: torch.dtype


class WeightsFile:
    """A safetensors file of exactly a model's tensors, in any floating types.

    Args:
        path: The file; the constructor checks its header only.
        name: For messages, such as "expert_3".
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
                locations = tensor_locations(file, found)
        except CheckpointError as error:
            raise self._error(error.what) from error
        except OSError as error:
            raise self._error(f"{path.name} cannot be read: {error.strerror}.") from error
        self._locations = dict(sorted(locations.items(), key=lambda pair: pair[1].start))

    def read_into(self, tensors: Mapping[str, Tensor]) -> None:
        """Fill tensors from the file.

        Args:
            tensors: All names and shapes of the file; contiguous, on the CPU, of any floating type.

        Raises:
            CheckpointError: The file has changed since it was checked, cannot be read, or a value is not finite in
                the tensor's type. The tensors' values are then undefined.
        """
        try:
            with self._path.open("rb", buffering=0) as file:
                if _stamp(file) != self._stamp:
                    raise self._error(f"{self._path.name} has changed since the model was opened.", "Open it again.")
                for key, location in self._locations.items():
                    file.seek(location.start)
                    self._read_one(file, key, location.dtype, tensors[key])
        except OSError as error:
            raise self._error(f"{self._path.name} cannot be read: {error.strerror}.") from error

    def _read_one(self, file: io.FileIO, key: str, stored: torch.dtype, tensor: Tensor) -> None:
        staging = None if tensor.dtype == stored else torch.empty(min(CHUNK, tensor.numel()), dtype=stored)
        for piece in tensor.detach().view(-1).split(CHUNK) if tensor.numel() else ():
            buffer = piece if staging is None else staging[: len(piece)]
            if not _fill(file, buffer):
                raise self._error(f"{self._path.name} ends within {key!r}.")
            if staging is not None:
                piece.copy_(buffer)
            if not is_finite(piece):
                raise self._error(f"{self._path.name}: {key!r} holds a value that is not finite.")

    def _error(self, what: str, next_step: str = "Fetch the model again.") -> CheckpointError:
        return CheckpointError(f"{self._name}: {what}", next_step)


def is_finite(values: Tensor) -> bool:
    """Whether no value of `[N]`, N > 0, on the CPU has all exponent bits set: NaN or infinity (IEEE 754, section 3.4).

    One thread and one pass; `torch.isfinite(values).all()` takes several, and temporary tensors.
    """
    integer, bits = _EXPONENT_BITS[values.dtype]
    raw = values.view(torch.uint8).numpy().view(integer)
    return bool((raw & bits).max() != bits)


def _as_stored(spec: TensorSpec, found: TensorSpec | None) -> TensorSpec:
    """The same shape in the file's floating type."""
    return TensorSpec(spec.shape, found.dtype) if found and found.dtype.is_floating_point else spec


def _stamp(file: io.FileIO) -> tuple[int, int]:
    """Size and modification time, which tell a replaced file."""
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def tensor_locations(file: io.FileIO, found: Mapping[str, TensorSpec]) -> dict[str, TensorLocation]:
    """The tensors' locations, each checked to lie within the file and to have its shape's number of bytes.

    `read_specs` has checked the header, but the file may have been replaced since: nothing is trusted.

    Args:
        file: At its beginning.
        found: From `read_specs`.

    Raises:
        CheckpointError: The header is malformed, or a location is impossible.
    """
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(size - 8, _MAX_HEADER_BYTES):
        raise CheckpointError(f"its header claims {length} bytes, the file has {size}.")
    try:
        header = json.loads(file.read(length))
        offsets = {key: header[key]["data_offsets"] for key in found}
        bounds = {key: (int(begin), int(end)) for key, (begin, end) in offsets.items()}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointError(f"its header is malformed: {error!r}.") from error
    for key, (begin, end) in bounds.items():
        wanted = torch.Size(found[key].shape).numel() * found[key].dtype.itemsize
        if end - begin != wanted or not 0 <= begin <= end <= size - 8 - length:
            raise CheckpointError(f"{key!r} claims bytes {begin} to {end}, which is impossible.")
    return {key: TensorLocation(8 + length + begin, found[key].dtype) for key, (begin, _) in bounds.items()}


def _fill(file: io.FileIO, piece: Tensor) -> bool:
    """Read into a tensor's memory; False where the file ends before the tensor does."""
    rest = memoryview(piece.view(torch.uint8).numpy())
    while rest:
        count = file.readinto(rest)
        if not count:
            return False
        rest = rest[count:]
    return True
