"""Audits: a stretch of a leg is trained again by another volunteer, which returns a sketch of what it reached.

The lease's nonce decides the projections, so that a sketch can only be made from the state itself, and only now. Two
states at the same step are as far apart as their sketches are, within the error of `VALUES` random projections: the
coordinator bounds the distance of a claimed state from the auditor's without fetching the latter.

A sketch has four parts of 64 values (`paris.experts.training.sketch` makes them). In each the values of a state, tensor
by tensor, are added up in 64 sums; byte i of SHAKE-256 of

    <the nonce's 32 bytes><part> <name of the tensor>

says where value i of the tensor goes: its low six bits number the sum, the next bit subtracts it. The record has the
sums as little-endian float32, in base64.

Source: feature hashing, Weinberger et al., arXiv 0902.2206: the squared length of the sums is that of the values in the
mean, with a variance of at most 2 / 64 of its square.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from paris.protocol.audit_order import AuditStart
from paris.protocol.hub_layout import STATE_FILES
from paris.protocol.run_records import Head, SubmittedFile

PARTS = ("weights", "ema", "update", "scale")
"""The ways of the weights and of their EMA; the step that the moments would make without a gradient; the logarithm of
its divisor, over the root of the number of values."""
VALUES = 64
AUDIT_PATIENCE_S = 900.0
"""How long after the end of its lease an auditor waits to hear that its audit arrived."""
_LAYOUT = struct.Struct(f"<{len(PARTS) * VALUES}f")
Parts = Mapping[str, Sequence[float]]
"""Of each of `PARTS`, or of some, the sums."""


class Apart(NamedTuple):
    """How far two states at the same step are apart, as their sketches say; of parts that one lacks 0."""

    weights: float
    """Relative to the auditor's way; of weights and EMA the larger one."""
    moments: float
    """As `paris.experts.training.state_distance` has it."""


def packed(parts: Parts) -> str:
    """The text of an Audit record.

    Args:
        parts: All of `PARTS`.
    """
    return base64.b64encode(_LAYOUT.pack(*(value for part in PARTS for value in parts[part]))).decode("ascii")


def unpacked(sketch: str) -> dict[str, tuple[float, ...]]:
    """The parts of a sketch; a stranger's may have values that are not finite.

    Args:
        sketch: Passed the check of its field.
    """
    values = _LAYOUT.unpack(base64.b64decode(sketch))
    return {part: values[number * VALUES : (number + 1) * VALUES] for number, part in enumerate(PARTS)}


def apart(claimed: Parts, audited: Parts) -> Apart:
    """Compare two sketches that were made by the same nonce.

    Args:
        claimed: Some parts, by the coordinator.
        audited: All parts, by an auditor. What is not finite is infinitely far away.
    """
    ways = [_ratio(claimed[part], audited[part]) for part in ("weights", "ema") if part in claimed]
    moments = 0.0
    if "update" in claimed:
        scales = _length(_difference(claimed["scale"], audited["scale"]))
        moments = max(_ratio(claimed["update"], audited["update"]), scales)
    return Apart(max(ways, default=0.0), moments)


def head_of(start: AuditStart, step: int) -> Head:
    """The state that an audit starts from, as a leg's head; its loss is no part of the training.

    Args:
        start: Of the audit's lease.
        step: The lease's first step.
    """
    files = tuple(
        SubmittedFile(path=f"{start.folder}/{name}", sha256=sha256, bytes=num_bytes)
        for name, sha256, num_bytes in zip(STATE_FILES, start.sha256, start.bytes, strict=True)
    )
    return Head(
        step=step, loss=0.0, previous=start.previous, commitment=start.commitment, commit=start.commit, files=files
    )


def _ratio(claimed: Sequence[float], audited: Sequence[float]) -> float:
    difference, way = _length(_difference(claimed, audited)), _length(audited)
    if difference == 0.0:
        return 0.0
    return difference / way if 0.0 < way < math.inf else math.inf


def _difference(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(one, other, strict=True)]


def _length(values: Sequence[float]) -> float:
    length = math.hypot(*values)
    return length if math.isfinite(length) else math.inf
