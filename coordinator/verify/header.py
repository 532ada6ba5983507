"""Safetensors headers, read without loading a tensor and without trusting a number in them.

    8 bytes     N, little endian
    N bytes     JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, "__metadata__": {...}}
    the rest    the tensors' bytes; offsets count from here

Pure Python: no library reads the file before these checks have passed.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paris.coordinator.verify.report import Checks
from paris.protocol.canonical import parse_json

DTYPE_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_PREFIX_BYTES = 8
_MAX_DIMENSIONS = 8
_MAX_METADATA_ENTRIES = 64
_FIELDS = {"dtype", "shape", "data_offsets"}
_MINUS_ZERO = re.compile(rb"-0(?![0-9])")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True)
class TensorEntry:
    """The header's description of one tensor."""

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
        checks: Records the measurements.
        max_bytes: Largest header.
        max_depth: Deepest nesting of its JSON, counting the outermost object as 1.

    Returns:
        The tensors by name; their byte ranges fill the rest of the file without gap or overlap.

    Raises:
        CheckFailed: The file is not a valid safetensors file.
    """
    file_bytes = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(_PREFIX_BYTES)
        checks.at_least("header-prefix", len(prefix), _PREFIX_BYTES, "bytes before the header")
        length = int.from_bytes(prefix, "little")
        checks.at_most(
            "header-size", length, min(max_bytes, file_bytes - _PREFIX_BYTES), "bytes that the header claims"
        )
        raw = file.read(length)
    document = _parse(raw, checks, max_bytes, max_depth)
    metadata = document.pop("__metadata__", {})
    sound = isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
    checks.require("header-metadata", sound, "parts of the header's metadata other than texts")
    checks.at_most("header-metadata", len(metadata), _MAX_METADATA_ENTRIES, "entries of the header's metadata")
    start = _PREFIX_BYTES + length
    entries = _entries(document, start, checks)
    _require_tiling(entries, start, file_bytes, checks)
    return {entry.name: entry for entry in entries}


def _parse(raw: bytes, checks: Checks, max_bytes: int, max_depth: int) -> dict[str, Any]:
    checks.at_most("header-depth", _depth(raw), max_depth, "nesting of the header's JSON")
    try:
        document = parse_json(raw, max_bytes=max_bytes)
    except ValueError as error:  # RecordError is one; so is a number of thousands of digits
        checks.require("header-json", False, f"the header is not sound JSON: {str(error)[:120]}")
        raise
    checks.require("header-json", isinstance(document, dict), f"the header's JSON is of type {type(document).__name__}")
    # Python reads both, the safetensors library neither.
    checks.require("header-json", not _MINUS_ZERO.search(_STRING.sub(b"", raw)), "numbers -0 of the header")
    checks.require("header-json", _is_unicode(document), "texts of the header with half of a surrogate pair")
    return document  # type: ignore[no-any-return]


def _is_unicode(document: Any) -> bool:
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


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


def _entries(document: dict[str, Any], start: int, checks: Checks) -> list[TensorEntry]:
    """Check one property of all tensors after the other: each check relies on those before it."""
    odd = [name for name, value in document.items() if not isinstance(value, dict) or value.keys() != _FIELDS]
    checks.none("header-entry", odd, f"tensors that are not described by {sorted(_FIELDS)}")
    odd = [
        name
        for name, value in document.items()
        if not isinstance(value["dtype"], str) or value["dtype"] not in DTYPE_BYTES
    ]
    checks.none("header-dtype", odd, "tensors of an unknown dtype")
    odd = [
        name
        for name, value in document.items()
        if not _are_sizes(value["shape"]) or len(value["shape"]) > _MAX_DIMENSIONS
    ]
    checks.none("header-shape", odd, "tensors without a sound shape")
    odd = [
        name
        for name, value in document.items()
        if not _are_sizes(value["data_offsets"]) or len(value["data_offsets"]) != 2
    ]
    checks.none("header-offsets", odd, "tensors without sound offsets")
    entries = [_entry(name, value, start) for name, value in document.items()]
    odd = [e.name for e in entries if e.end - e.begin != math.prod(e.shape) * DTYPE_BYTES[e.dtype]]
    checks.none("header-span", odd, "tensors whose bytes do not match their shape")
    return entries


def _entry(name: str, value: dict[str, Any], start: int) -> TensorEntry:
    begin, end = value["data_offsets"]
    return TensorEntry(name, value["dtype"], tuple(value["shape"]), start + begin, start + end)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int and 0 <= number < 2**50 for number in value)


def _require_tiling(entries: list[TensorEntry], start: int, file_bytes: int, checks: Checks) -> None:
    """Check that the tensors follow each other without overlap or gap, up to the end of the file."""
    ordered = sorted(entries, key=lambda entry: (entry.begin, entry.end))
    ends = [start, *(entry.end for entry in ordered)]
    odd = [entry.name for entry, end in zip(ordered, ends, strict=False) if entry.begin != end]
    checks.none("header-tiling", odd, "tensors with an overlap or a hole before them")
    checks.at_most("header-end", abs(file_bytes - ends[-1]), 0, "bytes between the last tensor and the end of the file")
