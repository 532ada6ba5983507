"""Sketches: a few sums over the values of a state, from which two states' distance can be told without either of them.

`paris.protocol.audits` has the format, and compares them. What is summed is what `state_distance.py` compares.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from paris.experts.errors import CheckpointError
from paris.experts.training.adamw import EPSILON, read_moments
from paris.experts.training.commitments import FILES
from paris.experts.training.compact_state import Read, exact_names
from paris.experts.training.state_distance import opened_file
from paris.experts.weights.checkpoint import TensorSpec, read_specs

SUMS = 64
_SUM, _SIGN = SUMS - 1, SUMS
"""Bits of a random byte."""
_PIECE = 1 << 24
Sums = tuple[float, ...]
StateSpecs = Mapping[str, Mapping[str, TensorSpec]]
"""The tensors of each file of a state, by their names and the file's."""


def sketch_state(
    state: Path,
    start: Path,
    nonce: str,
    files: Collection[str] = FILES,
    *,
    specs: StateSpecs | None = None,
    start_specs: StateSpecs | None = None,
) -> dict[str, Sums]:
    """Sketch the way to a state, and its moments, by the values that compact files stand for.

    Args:
        state: Folder of its weights, ema and optimizer.safetensors.
        start: Folder of the state where the way starts; its moments are not read.
        nonce: 64 hex digits; only sketches of one nonce can be compared.
        files: Those of `FILES` that are sketched. Compact weights need the EMA.
        specs: Of a stranger's state, the tensors that each file must have; None: the state is one's own.
        start_specs: The same of the start.

    Returns:
        By part: the sums of weights, ema, update and scale, as far as their files are named, rounded to float32.

    Raises:
        CheckpointError: A file is damaged or not finite, or has other tensors than it must; or a second moment is
            negative.
        MissingModuleError: The moments have 8 bits, and bitsandbytes is not installed.
    """
    key = bytes.fromhex(nonce)
    ways = {  # the EMA is checked before weights rest on it
        part: _way(_File(state, part, specs), _File(start, part, start_specs), key)
        for part in ("ema", "weights")
        if part in files
    }
    return ways | (_moments(_File(state, "optimizer", specs), key) if "optimizer" in files else {})


def keyed_digest(path: Path, nonce: str) -> str:
    """SHA-256, 64 hex digits, of a nonce's 32 bytes and a file: only who has the bytes can tell it."""
    digest = hashlib.sha256(bytes.fromhex(nonce))
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


class _File:
    """A file of a state, with the tensors that it must have."""

    def __init__(self, folder: Path, name: str, specs: StateSpecs | None) -> None:
        self.folder, self.name = folder, name
        self.specs = read_specs(folder / f"{name}.safetensors") if specs is None else specs[name]

    def opened(self) -> AbstractContextManager[Read]:
        return opened_file(self.folder, self.name, self.specs)


def _way(state: _File, start: _File, key: bytes) -> Sums:
    sums = np.zeros(SUMS)
    with state.opened() as end, start.opened() as begin, np.errstate(invalid="ignore"):  # `_rounded` says it
        for name in exact_names(state.specs):
            sums += _sums(end(name).double() - begin(name).double(), state.name, name, key)
    return _rounded(sums, state.name)


def _moments(state: _File, key: bytes) -> dict[str, Sums]:
    update, scale, count = np.zeros(SUMS), np.zeros(SUMS), 0
    with state.opened() as read:
        for name in exact_names(state.specs):
            if not name.startswith("exp_avg."):
                continue
            parameter = name.removeprefix("exp_avg.")
            mean, square = read_moments(read, parameter)
            if bool((square < 0).any()):
                raise CheckpointError(f"{state.name}.safetensors: the second moment of {parameter!r} is negative.")
            divisor = square.sqrt() + EPSILON
            update += _sums(mean / divisor, "update", parameter, key)
            scale += _sums(divisor.log(), "scale", parameter, key)
            count += divisor.numel()
    return {"update": _rounded(update, state.name), "scale": _rounded(scale / math.sqrt(max(count, 1)), state.name)}


def _sums(values: Tensor, part: str, name: str, key: bytes) -> NDArray[np.float64]:
    """The signed sums of one tensor's values, in float64."""
    flat = values.flatten().numpy()
    drawn = np.frombuffer(hashlib.shake_256(key + f"{part} {name}".encode()).digest(flat.size), np.uint8)
    signed = np.where(drawn & _SIGN, -flat, flat)
    return np.bincount(drawn & _SUM, weights=signed, minlength=SUMS).astype(np.float64)


def _rounded(sums: NDArray[np.float64], file: str) -> Sums:
    """The sums as the record has them, so that equal states have equal sketches."""
    with np.errstate(over="ignore"):
        rounded = sums.astype(np.float32)
    if not np.isfinite(rounded).all():
        raise CheckpointError(f"{file}.safetensors leads too far away: a sum over its values is not finite.")
    return tuple(float(value) for value in rounded)
