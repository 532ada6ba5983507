"""Safetensors headers, read without loading a tensor and without trusting a number in them.

    8 bytes          N, little endian
    N bytes          JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ..., "__metadata__": {...}}
    the rest         the tensors' bytes; offsets count from here

Pure Python: no library meets the file before these checks have passed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paris.coordinator.verify.report import Checks
from paris.protocol.canonical import parse_json
from paris.protocol.errors import RecordError

DTYPE_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_PREFIX_BYTES = 8
_MAX_DIMENSIONS = 8
_MAX_METADATA_ENTRIES = 64
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True)
class TensorEntry:
    """One tensor as the header describes it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int
    """Offsets in bytes from the start of the file."""


def read_header(path: Path, checks: Checks, *, max_bytes: int, max_depth: int) -> dict[str, TensorEntry]:
    """Read and check a header.

    Args:
        path: A local file.
        checks: Receives what is measured.
        max_bytes: Largest header.
        max_depth: Deepest nesting of its JSON, counting the outermost object as 1.

    Returns:
        The tensors by name; their byte ranges fill the rest of the file without gap or overlap.

    Raises:
        Refused: The file is not a sound safetensors file.
    """
    file_bytes = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(_PREFIX_BYTES)
        checks.at_least("header-prefix", len(prefix), _PREFIX_BYTES, "bytes before the header")
        length = int.from_bytes(prefix, "little")
        checks.at_most("header-size", length, min(max_bytes, file_bytes - _PREFIX_BYTES), "bytes that the header claims")
        raw = file.read(length)
    document = _parse(raw, checks, max_bytes, max_depth)
    metadata = document.pop("__metadata__", {})
    sound = isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
    checks.require("header-metadata", sound, "the header's metadata is not a table of texts")
    checks.at_most("header-metadata", len(metadata), _MAX_METADATA_ENTRIES, "entries of the header's metadata")
    start = _PREFIX_BYTES + length
    entries = [_entry(name, value, start, checks) for name, value in document.items()]
    _require_tiling(entries, start, file_bytes, checks)
    return {entry.name: entry for entry in entries}


def _parse(raw: bytes, checks: Checks, max_bytes: int, max_depth: int) -> dict[str, Any]:
    checks.at_most("header-depth", _depth(raw), max_depth, "nesting of the header's JSON")
    try:
        document = parse_json(raw, max_bytes=max_bytes)
    except RecordError as error:
        checks.require("header-json", False, f"the header is not sound JSON: {error.what}")
        raise
    checks.require("header-json", isinstance(document, dict), "the header is not a JSON object")
    return document  # type: ignore[no-any-return]


def _depth(raw: bytes) -> int:
    """Deepest nesting, counted before the JSON parser recurses into it."""
    depth = deepest = 0
    for byte in _STRING.sub(b"", raw):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _entry(name: str, value: Any, start: int, checks: Checks) -> TensorEntry:
    label = name[:80]
    fields = {"dtype", "shape", "data_offsets"}
    checks.require("header-entry", isinstance(value, dict) and value.keys() == fields, f"{label} is not described by {sorted(fields)}")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    checks.require("header-dtype", isinstance(dtype, str) and dtype in DTYPE_BYTES, f"{label} has an unknown dtype")
    checks.require("header-shape", _are_sizes(shape) and len(shape) <= _MAX_DIMENSIONS, f"{label} has no sound shape")
    checks.require("header-offsets", _are_sizes(offsets) and len(offsets) == 2, f"{label} has no sound offsets")
    begin, end = offsets
    wanted = math.prod(shape) * DTYPE_BYTES[dtype]
    checks.at_most("header-span", abs((end - begin) - wanted), 0, f"bytes by which {label} misses its shape's size")
    return TensorEntry(name, dtype, tuple(shape), start + begin, start + end)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int and 0 <= number < 2**50 for number in value)


def _require_tiling(entries: list[TensorEntry], start: int, file_bytes: int, checks: Checks) -> None:
    """The tensors lie one after another: no overlap, no hole that could carry something else, no byte beyond."""
    position = start
    for entry in sorted(entries, key=lambda entry: (entry.begin, entry.end)):
        gap = abs(entry.begin - position)
        checks.at_most("header-tiling", gap, 0, f"bytes of overlap or hole before {entry.name[:80]}")
        position = entry.end
    checks.at_most("header-end", abs(file_bytes - position), 0, "bytes between the last tensor and the end of the file")
