"""Rung 3: the weights moved away from the initial ones, and are no copy of another submission.

All experts of a run start from the same weights w0, so that an expert's training is its delta w - w0. Deltas of two
trainings on different clusters have a small cosine; a copy has a cosine near 1, also with some noise on top. A copy
whose inner units are in another order has neither, but has the spectra of the original (spectra.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from paris.coordinator.verify.case import OtherCheckpoint, VerificationCase
from paris.coordinator.verify.report import Checks
from paris.coordinator.verify.spectra import Spectra, drawn_layers
from paris.coordinator.verify.tensor_reads import TensorFile, open_trusted
from paris.experts.seeding import generator_for

_BLOCK = 4096


@dataclass
class Overlap:
    """Sums for the cosine of two deltas, accumulated tensor by tensor."""

    dot: float = 0.0
    square: float = 0.0

    def cosine(self, own_square: float) -> float:
        """Cosine with a delta of this squared norm; 0 if either is zero."""
        length = math.sqrt(self.square * own_square)
        return self.dot / length if length > 0 else 0.0


def check_novelty(
    case: VerificationCase, file: TensorFile, initial: Mapping[str, Tensor], sha256: str, checks: Checks
) -> None:
    """Check the distance to the initial weights and the cosines with earlier submissions.

    Args:
        case: The submission and its context, with the other checkpoints.
        file: The submitted weights.
        initial: The run's initial weights.
        sha256: Digest of the submitted file.
        checks: Records the measurements.

    Raises:
        CheckFailed: A check failed.
        NotReadyError: Another checkpoint's file is missing.
    """
    bounds = case.bounds
    copied, repeated = _split(case)
    twins = [_named(other) for other in copied if other.sha256 == sha256]
    checks.none("same-file", twins, "other submissions with the very same file")
    distance = relative_distance(file, initial)
    checks.at_least("distance", distance, bounds.min_distance, "distance to the initial weights, relative to them")
    checks.at_most("distance", distance, bounds.max_distance, "distance to the initial weights, relative to them")
    compared = [other for other in (*copied, *repeated) if _is_comparable(other)]
    found = cosines(case, file, initial, compared)
    by_task = {id(other): cosine for other, cosine in zip(compared, found, strict=True)}
    nearest = max((by_task.get(id(other), -1.0), _named(other)) for other in copied) if copied else (-1.0, "none")
    checks.at_most("copy", nearest[0], bounds.max_cosine, f"cosine of the way from the start with that of {nearest[1]}")
    _check_spectra(case, file, initial, [other for other in copied if _is_comparable(other)], checks)
    for other in repeated:
        if other.sha256 == sha256 or by_task.get(id(other), -1.0) > bounds.max_cosine:
            checks.remark(f"equals {_named(other)}: deterministic training makes that expected")


def _check_spectra(
    case: VerificationCase,
    file: TensorFile,
    initial: Mapping[str, Tensor],
    others: list[OtherCheckpoint],
    checks: Checks,
) -> None:
    """Check that this is no earlier submission with its inner units in another order."""
    if not others:
        return
    layers = drawn_layers(initial, case.seed, case.bounds.spectral_layers)
    start = Spectra.of(initial, initial.__getitem__, layers)
    own = Spectra.of(initial, file.read, layers)
    distances = []
    for other in others:
        theirs = open_trusted(cast(Path, other.path), case.bounds)
        distances.append((own.distance(Spectra.of(initial, theirs.read, layers), start), _named(other)))
    least, name = min(distances)
    note = f"distance of its spectra from those of {name}, relative to the way from the start"
    checks.at_least("hidden-copy", least, case.bounds.min_spectral_distance, note)


def relative_distance(file: TensorFile, initial: Mapping[str, Tensor]) -> float:
    """`||w - w0|| / ||w0||` over all weights."""
    moved = sum(float((file.read(name) - start).double().square().sum()) for name, start in initial.items())
    return math.sqrt(moved / sum(float(start.double().square().sum()) for start in initial.values()))


def cosines(
    case: VerificationCase, file: TensorFile, initial: Mapping[str, Tensor], others: list[OtherCheckpoint]
) -> list[float]:
    """Similarity to each other checkpoint: the larger of the cosine over all weights and the median over the tensors.

    The median detects a copy whose noise is concentrated in few tensors.

    Args:
        case: Its secret seed draws the blocks of large models.
        file: The submitted weights.
        initial: The run's initial weights.
        others: Checkpoints with files.
    """
    opened = [open_trusted(other.path, case.bounds) for other in others if other.path is not None]
    sums = [Overlap() for _ in opened]
    parts: list[list[float]] = [[] for _ in opened]
    total = 0.0
    for name, start in initial.items():
        own_square, local = 0.0, [Overlap() for _ in opened]
        for begin, count in _blocks(case, name, start.numel(), sum(w.numel() for w in initial.values())):
            origin = start.reshape(-1)[begin : begin + count]
            own = file.read_block(name, begin, count) - origin
            own_square += float(own.double().square().sum())
            for overlap, other in zip(local, opened, strict=True):
                theirs = other.read_block(name, begin, count) - origin
                overlap.dot += float((own.double() * theirs.double()).sum())
                overlap.square += float(theirs.double().square().sum())
        total += own_square
        for overlap, whole, part in zip(local, sums, parts, strict=True):
            whole.dot += overlap.dot
            whole.square += overlap.square
            part.append(overlap.cosine(own_square))
    return [max(whole.cosine(total), _median(part)) for whole, part in zip(sums, parts, strict=True)]


def _split(case: VerificationCase) -> tuple[list[OtherCheckpoint], list[OtherCheckpoint]]:
    """The other checkpoints, by what equality with them means: a copy, or honest work done twice on one task."""
    copied: list[OtherCheckpoint] = []
    repeated: list[OtherCheckpoint] = []
    for other in case.others:
        same_task = other.task_id == case.task.task_id
        own = other.volunteer == case.lease.volunteer
        tolerated = same_task and (own or not case.bounds.same_task_is_copy)
        (repeated if tolerated else copied).append(other)
    return copied, repeated


def _is_comparable(other: OtherCheckpoint) -> bool:
    """Whether its weights are at hand, and of the same shapes as the submission's."""
    return other.path is not None and other.model is None


def _blocks(case: VerificationCase, name: str, size: int, total: int) -> Iterator[tuple[int, int]]:
    """First value and length of the compared parts of a tensor: all of it, or secretly drawn blocks in large models."""
    share = case.bounds.max_compared_values / total
    if share >= 1 or size <= _BLOCK:
        yield 0, size
        return
    blocks = math.ceil(size / _BLOCK)
    drawn = torch.randperm(blocks, generator=generator_for(case.seed, "novelty", name))[: math.ceil(blocks * share)]
    for block in sorted(drawn.tolist()):
        yield block * _BLOCK, min(_BLOCK, size - block * _BLOCK)


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2] if values else -1.0


def _named(other: OtherCheckpoint) -> str:
    return f"{other.task_id} by {other.volunteer[:12]}"
