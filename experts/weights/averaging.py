"""The mean of weights files, tensor by tensor, in chunks: no file is held in memory.

Each value is added up in float64, in the order of the files, divided, and rounded to float32 once. So the bytes are the
same on every machine.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from paris.experts.errors import CheckpointError
from paris.experts.files import file_sha256, whole_file
from paris.experts.weights.checkpoint import TensorSpec, check_specs, read_specs
from paris.experts.weights.weights_file import TensorLocation, tensor_locations

_CHUNK = 1 << 18
_ALIGNMENT = 8


def average_files(files: Sequence[Path], target: Path) -> str:
    """Write the mean of files with the same float32 tensors, as `save_tensors` would write it.

    Args:
        files: At least one; their order decides rounding.
        target: The file to make or replace.

    Returns:
        SHA-256 of the file, 64 hex digits.

    Raises:
        CheckpointError: A file is not readable, differs from the first in its tensors, or has others than float32;
            `target` is unchanged.
        DiskFullError: No space; `target` is unchanged.
    """
    specs = dict(sorted(read_specs(files[0]).items()))
    others = sorted(name for name, spec in specs.items() if spec.dtype != torch.float32)
    if others:
        raise CheckpointError(f"{files[0].name}: {others[0]!r} is not float32, of which alone a mean is taken.")
    for path in files[1:]:
        check_specs(read_specs(path), specs, path.name)
    with ExitStack() as stack, whole_file(target) as partial:
        opened = [stack.enter_context(path.open("rb", buffering=0)) for path in files]
        locations = [tensor_locations(file, specs) for file in opened]
        with partial.open("wb") as out:
            out.write(_header(specs))
            for name, spec in specs.items():
                places = [(file, found[name]) for file, found in zip(opened, locations, strict=True)]
                _write_mean(out, name, places, int(np.prod(spec.shape)))
        return file_sha256(partial)


def _header(specs: Mapping[str, TensorSpec]) -> bytes:
    """A safetensors header with the tensors in this order."""
    entries, begin = {}, 0
    for name, spec in specs.items():
        end = begin + 4 * int(np.prod(spec.shape))
        entries[name] = {"dtype": "F32", "shape": list(spec.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _write_mean(out: BinaryIO, name: str, places: Sequence[tuple[io.FileIO, TensorLocation]], num_values: int) -> None:
    for begin, count in _chunks(num_values):
        total = np.zeros(count, np.float64)
        for file, location in places:
            total += _read(file, location.start + 4 * begin, count, name)
        out.write((total / len(places)).astype("<f4").tobytes())


def _chunks(num_values: int) -> Iterator[tuple[int, int]]:
    """First value and number of values of each chunk."""
    for begin in range(0, num_values, _CHUNK):
        yield begin, min(_CHUNK, num_values - begin)


def _read(file: io.FileIO, start: int, count: int, name: str) -> np.ndarray:
    file.seek(start)
    data = file.read(4 * count)
    values = np.frombuffer(data, "<f4") if len(data) == 4 * count else np.empty(0, np.float32)
    if len(values) != count or not np.isfinite(values).all():
        raise CheckpointError(f"{Path(str(file.name)).name}: {name!r} ends early, or holds a value that is not finite.")
    return values
