"""Sketches: a few sums over the values of a state, from which two states' distance can be told without either of them.

`paris.protocol.audits` has the format, and compares them. What is summed is what `state_distance.py` compares.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from paris.experts.errors import CheckpointError
from paris.experts.training.adamw import EPSILON, read_moments
from paris.experts.training.commitments import FILES
from paris.experts.weights.checkpoint import iter_tensors, read_specs

SUMS = 64
_SUM, _SIGN = SUMS - 1, SUMS
"""Bits of a random byte."""
_PIECE = 1 << 24
Sums = tuple[float, ...]


def sketch_state(state: Path, start: Path, nonce: str, files: Collection[str] = FILES) -> dict[str, Sums]:
    """Sketch the way to a state, and its moments.

    Args:
        state: Folder of its weights, ema and optimizer.safetensors.
        start: Folder of the state where the way starts; its moments are not read.
        nonce: 64 hex digits; only sketches of one nonce can be compared.
        files: Those of `FILES` that are sketched.

    Returns:
        By part: the sums of weights, ema, update and scale, as far as their files are named, rounded to float32.

    Raises:
        CheckpointError: A file is damaged or not finite, or does not fit the start; or a second moment is negative.
        MissingModuleError: The moments have 8 bits, and bitsandbytes is not installed.
    """
    key = bytes.fromhex(nonce)
    found = {part: _way(state, start, part, key) for part in ("weights", "ema") if part in files}
    return found | (_moments(state / "optimizer.safetensors", key) if "optimizer" in files else {})


def keyed_digest(path: Path, nonce: str) -> str:
    """SHA-256, 64 hex digits, of a nonce's 32 bytes and a file: only who has the bytes can tell it."""
    digest = hashlib.sha256(bytes.fromhex(nonce))
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _way(state: Path, start: Path, part: str, key: bytes) -> Sums:
    ends, begins = (folder / f"{part}.safetensors" for folder in (state, start))
    specs, sums = read_specs(begins), np.zeros(SUMS)
    with np.errstate(invalid="ignore"):  # `_finite` says it
        for (name, end), (_, begin) in zip(iter_tensors(ends, specs), iter_tensors(begins, specs), strict=True):
            sums += _sums(end.double() - begin.double(), part, name, key)
    return _finite(sums, ends)


def _moments(path: Path, key: bytes) -> dict[str, Sums]:
    update, scale, count = np.zeros(SUMS), np.zeros(SUMS), 0
    for name, mean, square in _each_moment(path):
        divisor = square.sqrt() + EPSILON
        update += _sums(mean / divisor, "update", name, key)
        scale += _sums(divisor.log(), "scale", name, key)
        count += divisor.numel()
    return {"update": _finite(update, path), "scale": _finite(scale / math.sqrt(max(count, 1)), path)}


def _each_moment(path: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    specs = read_specs(path)
    for _ in iter_tensors(path, specs):
        pass  # finite
    with safe_open(path, framework="pt") as file:
        for name in (key.removeprefix("exp_avg.") for key in specs if key.startswith("exp_avg.")):
            mean, square = read_moments(file.get_tensor, name)
            if bool((square < 0).any()):
                raise CheckpointError(f"{path.name}: the second moment of {name!r} is negative.")
            yield name, mean, square


def _sums(values: Tensor, part: str, name: str, key: bytes) -> NDArray[np.float64]:
    """The signed sums of one tensor's values, in float64."""
    flat = values.flatten().to(torch.float64).numpy()
    drawn = np.frombuffer(hashlib.shake_256(key + f"{part} {name}".encode()).digest(flat.size), np.uint8)
    signed = np.where(drawn & _SIGN, -flat, flat)
    return np.bincount(drawn & _SUM, weights=signed, minlength=SUMS).astype(np.float64)


def _finite(sums: NDArray[np.float64], path: Path) -> Sums:
    """The sums as the record has them, so that equal states have equal sketches."""
    with np.errstate(over="ignore"):
        rounded = sums.astype(np.float32)
    if not np.isfinite(rounded).all():
        raise CheckpointError(f"{path.name} leads too far away: a sum over its values is not finite.")
    return tuple(float(value) for value in rounded)
