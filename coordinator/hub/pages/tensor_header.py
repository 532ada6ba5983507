"""The header of a safetensors file, for showing: no tensor is read, and no number in it is trusted.

8 bytes     N, little endian
N bytes     {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, "__metadata__": {...}}
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PREFIX_BYTES = 8
MAX_HEADER_BYTES = 4 * 1024**2
_MAX_DIMENSIONS = 16
_MAX_SIZE = 2**50
_MAX_DTYPE_CHARS = 16


@dataclass(frozen=True, slots=True)
class Tensor:
    """What the header says of one tensor."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    num_bytes: int

    @property
    def num_values(self) -> int:
        """Product of the shape."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """What a safetensors file says that it has."""

    tensors: tuple[Tensor, ...]
    metadata: dict[str, str]

    def counts(self) -> list[tuple[str, int]]:
        """Values by dtype, the most first."""
        counted: Counter[str] = Counter()
        for tensor in self.tensors:
            counted[tensor.dtype] += tensor.num_values
        return counted.most_common()


def read_header(path: Path) -> Header:
    """Read a header: a few kB of a file of any size.

    Args:
        path: The file.

    Raises:
        ValueError: It has no sound header of at most `MAX_HEADER_BYTES`; the message says why.
    """
    file_bytes = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_PREFIX_BYTES), "little")
        if not 2 <= length <= file_bytes - _PREFIX_BYTES:
            raise ValueError("it is cut off")
        if length > MAX_HEADER_BYTES:
            raise ValueError(f"its header has {length} bytes, more than the {MAX_HEADER_BYTES} that are shown")
        raw = file.read(length)
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ValueError("its header is not JSON") from error
    if not isinstance(document, dict):
        raise ValueError("its header is no object")
    metadata = document.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise ValueError("its metadata is no object")
    data_bytes = file_bytes - _PREFIX_BYTES - length
    tensors = tuple(_tensor(name, value, data_bytes) for name, value in document.items())
    return Header(tensors, {key: str(value) for key, value in metadata.items()})


def _tensor(name: str, value: Any, data_bytes: int) -> Tensor:
    match value:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)]}:
            is_sound = 0 <= begin <= end <= data_bytes and len(shape) <= _MAX_DIMENSIONS
            if is_sound and all(type(size) is int and 0 <= size < _MAX_SIZE for size in shape):
                return Tensor(name, dtype[:_MAX_DTYPE_CHARS], tuple(shape), end - begin)
    raise ValueError(f"its tensor {name[:80]!r} is not described soundly")
