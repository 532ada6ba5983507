"""Part of rungs 1 and 2: a leg's state, which the next volunteer resumes from as it is."""

from __future__ import annotations

import math

import torch
from safetensors import safe_open

from paris.coordinator.verify.case import VerificationCase
from paris.coordinator.verify.header import DTYPE_BYTES, read_header
from paris.coordinator.verify.report import Checks
from paris.coordinator.verify.state_specs import LOSS_SCALE, submitted_specs
from paris.coordinator.verify.structure_rung import largest_file
from paris.coordinator.verify.tensor_reads import TensorFile
from paris.experts.models.presets import ModelConfig
from paris.experts.training.compact_state import exact_names, exact_reader
from paris.experts.training.precision import LossScale
from paris.experts.weights.checkpoint import TensorSpec
from paris.protocol.chain import MAX_CHAIN_BYTES
from paris.protocol.hub_layout import CHAIN_FILE, OPTIMIZER_FILE, TRAINED_FILE, WEIGHTS_FILE

_DTYPES = {torch.float32: "F32", torch.uint8: "U8"}
_HEADER_BYTES_PER_TENSOR = 256


def file_limits(case: VerificationCase, config: ModelConfig) -> dict[str, int]:
    """Largest file, in bytes, of each name that a submission may have."""
    sizes = {WEIGHTS_FILE: largest_file(config, case.bounds), CHAIN_FILE: MAX_CHAIN_BYTES}
    for name, specs in submitted_specs(case, config, steps=0).items():  # after the last step they are not handed in
        values = sum(math.prod(spec.shape) * DTYPE_BYTES[_DTYPES[spec.dtype]] for spec in specs.values())
        sizes[name] = int(case.bounds.max_size_ratio * (values + _HEADER_BYTES_PER_TENSOR * len(specs)))
    return sizes


def check_state(case: VerificationCase, config: ModelConfig, ema: TensorFile, steps: int, checks: Checks) -> None:
    """Check names, shapes and types of all files of the state, and that their values are finite.

    Moments that are finite and wrong show in the next leg, and in a replay. A wrong loss scale would break the next
    volunteer's training at once, and an infinite moment that of all lanes, whose mean it would be in.

    Args:
        case: The submission and its context; the files are at `case.file`.
        config: The run's model.
        ema: The submitted EMA weights.
        steps: That the leg reached.
        checks: Records the measurements.

    Raises:
        CheckFailed: A check failed.
    """
    odd = [f"{name} is {entry.dtype}" for name, entry in ema.entries.items() if entry.dtype != "F32"]
    checks.none("state-dtypes", odd, "EMA weights that no training can resume from, which takes F32")
    names, expected = case.submitted_files(steps), submitted_specs(case, config, steps)
    if TRAINED_FILE in names:
        weights = _checked(case, TRAINED_FILE, expected[TRAINED_FILE], checks)
        with safe_open(weights.path, framework="pt") as opened:
            read = exact_reader("weights", weights.entries, opened.get_tensor, ema.read)
            broken = [name for name in exact_names(weights.entries) if not bool(torch.isfinite(read(name)).all())]
        checks.none("state-finite", broken, f"tensors of {TRAINED_FILE} with infinite values or not-a-numbers")
    if OPTIMIZER_FILE in names:
        optimizer = _checked(case, OPTIMIZER_FILE, expected[OPTIMIZER_FILE], checks)
        floats = [name for name, entry in optimizer.entries.items() if entry.dtype == "F32" and name != LOSS_SCALE]
        broken = [name for name in floats if not bool(torch.isfinite(optimizer.read(name)).all())]
        checks.none("state-finite", broken, f"tensors of {OPTIMIZER_FILE} with infinite values or not-a-numbers")
        if LOSS_SCALE in optimizer.entries:
            found = optimizer.read(LOSS_SCALE).tolist()
            note = f"the loss scale and its good steps are {found}, which training cannot reach"
            checks.require("state-loss-scale", LossScale.is_reachable(*found), note)


def _checked(case: VerificationCase, name: str, expected: dict[str, TensorSpec], checks: Checks) -> TensorFile:
    """Open a file of the state; a header that is not exactly the expected one fails a check."""
    bounds, path = case.bounds, case.file(name)
    # The optimizer's header describes up to four tensors for each of the model.
    entries = read_header(path, checks, max_bytes=4 * bounds.max_header_bytes, max_depth=bounds.max_header_depth)
    odd = sorted(expected.keys() ^ entries.keys())
    checks.none("state-tensors", odd, f"tensors of {name} that are missing, or that it should not have")
    odd = [
        f"{key} is {entries[key].dtype} {list(entries[key].shape)}"
        for key, spec in expected.items()
        if (entries[key].dtype, entries[key].shape) != (_DTYPES[spec.dtype], spec.shape)
    ]
    checks.none("state-shapes", odd, f"tensors of {name} of another shape or type")
    return TensorFile(path, entries)
