"""How far a claimed state of a training is from the one that a replay reached.

weights   ||claimed - replayed|| / ||replayed - start||, over all weights, and over their EMA; the larger one
moments   the same of the update that the optimizer would make without a gradient, m / (sqrt(v) + epsilon), relative to
          its own length; or the root mean square of the difference of log(sqrt(v) + epsilon), if that is larger

Moments are compared by what they do: a small tensor's moments count as much in the next step as those of a large one,
and a second moment that is too small makes steps too long.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from safetensors import safe_open
from torch import Tensor

from paris.experts.errors import CheckpointError
from paris.experts.training.adamw import EPSILON, read_moments
from paris.experts.training.commitments import FILES
from paris.experts.training.compact_state import Read, exact_names, exact_reader
from paris.experts.weights.checkpoint import TensorSpec, iter_tensors, read_specs


@dataclass(frozen=True)
class Distance:
    """Zero for equal states; infinite where the claimed one moved and the replayed one did not."""

    weights: float
    moments: float


def distance(replayed: Path, claimed: Path, start: Path, files: Collection[str] = FILES) -> Distance:
    """Compare two states at the same step, tensor by tensor, by the values that compact files stand for.

    Args:
        replayed: Folder of the replay's end: weights, ema and optimizer.safetensors.
        claimed: Folder of the claimed state, from a stranger.
        start: Folder of the state at the start of the stretch; its moments are not read.
        files: Those of `FILES` that are compared; a distance of what is left out is 0. Compact weights need the EMA.

    Raises:
        CheckpointError: A claimed file is damaged, not finite, or has other tensors than the replay's; or a second
            moment is negative.
        MissingModuleError: The moments have 8 bits, and bitsandbytes is not installed.
    """
    compared = [name for name in ("ema", "weights") if name in files]  # the EMA is checked before weights rest on it
    weights = max((_moved_apart(replayed, claimed, start, name) for name in compared), default=0.0)
    return Distance(weights, _moments_apart(replayed, claimed) if "optimizer" in files else 0.0)


def _moved_apart(replayed: Path, claimed: Path, start: Path, file: str) -> float:
    apart = moved = 0.0
    with ExitStack() as stack:
        own, other = (stack.enter_context(_opened(folder, file, replayed)) for folder in (replayed, claimed))
        begin = stack.enter_context(_opened(start, file, start))
        for name in exact_names(read_specs(_path(replayed, file))):
            end = own(name).double()
            apart += _square(other(name).double() - end)
            moved += _square(end - begin(name).double())
    return _ratio(apart, moved)


def _moments_apart(replayed: Path, claimed: Path) -> float:
    apart = length = logs = 0.0
    count = 0
    file = "optimizer"
    names = exact_names(read_specs(_path(replayed, file)))
    with ExitStack() as stack:
        own, other = (stack.enter_context(_opened(folder, file, replayed)) for folder in (replayed, claimed))
        for name in (name.removeprefix("exp_avg.") for name in names if name.startswith("exp_avg.")):
            (mean, square), (other_mean, other_square) = read_moments(own, name), read_moments(other, name)
            if bool((other_square < 0).any()):
                raise CheckpointError(f"{file}.safetensors: the second moment of {name!r} is negative.")
            divisor, other_divisor = square.sqrt() + EPSILON, other_square.sqrt() + EPSILON
            apart += _square(other_mean / other_divisor - mean / divisor)
            length += _square(mean / divisor)
            logs += _square((other_divisor / divisor).log())
            count += divisor.numel()
    return max(_ratio(apart, length), math.sqrt(logs / max(count, 1)))


def _opened(folder: Path, file: str, like: Path) -> AbstractContextManager[Read]:
    """Reads a state's file, which must have the tensors of another state's."""
    return opened_file(folder, file, read_specs(_path(like, file)))


@contextmanager
def opened_file(folder: Path, file: str, specs: Mapping[str, TensorSpec]) -> Iterator[Read]:
    """Reads a state's file tensor by tensor, by the values that it stands for.

    Args:
        folder: Of the state.
        file: One of `FILES`; compact weights need the EMA beside them.
        specs: The tensors that the file must have, as `read_specs` gives them.

    Raises:
        CheckpointError: It has others, or values that are not finite.
    """
    path = _path(folder, file)
    for _ in iter_tensors(path, specs):
        pass

    def average(name: str) -> Tensor:
        with safe_open(_path(folder, "ema"), framework="pt") as ema:
            return cast(Tensor, ema.get_tensor(name))

    with safe_open(path, framework="pt") as opened:
        yield exact_reader(file, specs, opened.get_tensor, average)


def _path(folder: Path, file: str) -> Path:
    return folder / f"{file}.safetensors"


def _square(difference: Tensor) -> float:
    return float(difference.square().sum())


def _ratio(apart: float, whole: float) -> float:
    if apart == 0.0:
        return 0.0
    return math.sqrt(apart / whole) if whole > 0.0 else math.inf
