"""Rung 2: exactly the tensors of the run's model, of an allowed dtype, finite, with plausible norms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from paris.coordinator.verify.bounds import VerificationBounds
from paris.coordinator.verify.case import VerificationCase
from paris.coordinator.verify.header import DTYPE_BYTES, TensorEntry, read_header
from paris.coordinator.verify.report import Checks
from paris.coordinator.verify.tensor_reads import TensorFile
from paris.experts.errors import CheckpointError
from paris.experts.models.model import DiTExpert
from paris.experts.models.presets import ModelConfig
from paris.experts.weights.checkpoint import specs_of
from paris.experts.weights.weights_file import WeightsFile

_HEADER_BYTES_PER_TENSOR = 256


def expected_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the model's weights, without allocating them."""
    with torch.device("meta"):
        model = DiTExpert(config)
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def largest_file(config: ModelConfig, bounds: VerificationBounds) -> int:
    """Largest checkpoint of this model, in bytes."""
    shapes = expected_shapes(config)
    values = sum(torch.Size(shape).numel() for shape in shapes.values())
    width = max(DTYPE_BYTES[dtype] for dtype in bounds.dtypes)
    return int(bounds.max_size_ratio * (values * width + _HEADER_BYTES_PER_TENSOR * len(shapes)))


def check_structure(
    case: VerificationCase, config: ModelConfig, initial: Mapping[str, Tensor], checks: Checks
) -> TensorFile:
    """Check the tensors of the downloaded file and their norms.

    Args:
        case: The submission and its context; the file is at `case.candidate`.
        config: The run's model.
        initial: The run's initial weights.
        checks: Records the measurements.

    Returns:
        The file, open for reading.

    Raises:
        CheckFailed: A check failed.
    """
    bounds = case.bounds
    entries = read_header(case.candidate, checks, max_bytes=bounds.max_header_bytes, max_depth=bounds.max_header_depth)
    _check_tensors(entries, expected_shapes(config), bounds, checks)
    check_readable(case.candidate, config, checks)
    file = TensorFile(case.candidate, entries)
    _check_norms(file, initial, bounds, checks)
    return file


def _check_tensors(
    entries: Mapping[str, TensorEntry],
    shapes: Mapping[str, tuple[int, ...]],
    bounds: VerificationBounds,
    checks: Checks,
) -> None:
    checks.none("missing-tensors", sorted(shapes.keys() - entries.keys()), "tensors of the model that are missing")
    checks.none("extra-tensors", sorted(entries.keys() - shapes.keys()), "tensors that the model does not have")
    wrong = [
        f"{name} is {list(entry.shape)}, not {list(shapes[name])}"
        for name, entry in entries.items()
        if entry.shape != shapes[name]
    ]
    checks.none("shapes", wrong, "tensors of another shape")
    odd = [f"{name} is {entry.dtype}" for name, entry in entries.items() if entry.dtype not in bounds.dtypes]
    checks.none("dtypes", odd, f"tensors of a dtype other than {bounds.allowed_dtypes}")


def check_readable(path: Path, config: ModelConfig, checks: Checks) -> None:
    """Open the file as a release does: what is accepted here must not break sampling later.

    Args:
        path: A file whose header `read_header` has accepted.
        config: The run's model.
        checks: Records the measurements.

    Raises:
        CheckFailed: The release's reader refuses it.
    """
    with torch.device("meta"):
        expected = specs_of(DiTExpert(config).state_dict())
    try:
        WeightsFile(path, "the file", expected)
    except CheckpointError as error:
        checks.require("readable", False, f"the release's reader refuses it: {error.what[:200]}")
    checks.require("readable", True, "the release's reader opens it")


def _check_norms(file: TensorFile, initial: Mapping[str, Tensor], bounds: VerificationBounds, checks: Checks) -> None:
    """Check that all values are finite, no matrix is much smaller than its initial one, and no tensor far larger.

    Vectors are not checked for being too small: most start at zero, and where all experts start from trained weights,
    honest training may shrink an unimportant bias to nearly zero.
    """
    broken: list[str] = []
    smallest, largest = (float("inf"), ""), (0.0, "")
    for name, start in initial.items():
        weights = file.read(name)
        if not bool(torch.isfinite(weights).all()):
            broken.append(name)
            continue
        rms, start_rms = _rms(weights), _rms(start)
        if start_rms > 0 and start.dim() > 1:
            smallest = min(smallest, (rms / start_rms, name))
        largest = max(largest, (rms / max(start_rms, bounds.rms_floor), name))
    checks.none("finite", broken, "tensors with infinite values or not-a-numbers")
    checks.at_least("smallest-norm", smallest[0], bounds.min_rms_ratio, f"norm of {smallest[1]} against its start")
    checks.at_most("largest-norm", largest[0], bounds.max_rms_ratio, f"norm of {largest[1]} against its start")


def _rms(values: Tensor) -> float:
    """Root mean square, in float64 so that huge finite weights do not overflow."""
    return float(values.double().square().mean().sqrt())
