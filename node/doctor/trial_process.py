"""The process of the trial: `python -m paris.node.doctor.trial_process`; torch, and no network.

doctor -> stdin     one JSON line: the order (`trial_look.py`); its end ends this process
trial -> stdout     one JSON object a line: torch; then rows, batch_size and step_s; or refusal and next_step
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from paris.node.errors import explain
from paris.node.trainer.process import NetworkGuard
from paris.protocol.lifeline import lines_from_parent

if TYPE_CHECKING:
    import torch

    from paris.experts.training.step import TrainStep

_ORDER_WITHIN_S = 60.0
_LONG_STEP_S = 3.0
"""More rows are not tried after a step that takes so long. A step of few rows says little: what it costs beside its
rows would be counted for each of them."""
_TRIES = 3
_SIDE = 256


def main() -> int:
    """Take the order, compute, tell."""
    order = json.loads(next(lines_from_parent(_ORDER_WITHIN_S), b"{}"))
    if not order:
        return 1
    NetworkGuard().install()
    if hasattr(os, "nice"):
        os.nice(order["nice"])
    try:
        tell(torch=described(order["device"]))
        tell(**timed(order))
    except Exception as error:  # the process's edge: the doctor shows it
        told = explain(error)
        is_typed = isinstance(getattr(error, "what", None), str)
        tell(refusal=told.what, next_step=told.next_step if is_typed else "")
        return 1
    return 0


def tell(**fields: Any) -> None:
    """Write one line of the answer."""
    print(json.dumps(fields), flush=True)


def described(device: str) -> str:
    """Torch's version and build, after a product on the device that is compared with the CPU's.

    Raises:
        RuntimeError: The device cannot compute, or computes something else.
    """
    import torch

    build = f", CUDA {torch.version.cuda}" if torch.version.cuda else ""
    build = f", ROCm {torch.version.hip}" if torch.version.hip else build
    factor = torch.rand(_SIDE, _SIDE, generator=torch.Generator().manual_seed(0))
    there = factor.to(device)
    if not torch.allclose((there @ there).cpu(), factor @ factor, rtol=1e-2):
        raise RuntimeError(f"torch {torch.__version__}{build} computes a wrong product on {device}")
    return f"{torch.__version__}{build}"


def timed(order: dict[str, Any]) -> dict[str, Any]:
    """The seconds of a step with as many rows as fit, up to the batch, or until it takes long enough to be measured.

    Raises:
        ExpertError: A setting of the run is unknown or out of range, or the device lacks its precision.
    """
    from paris.experts.frozen.text import TextConfig
    from paris.experts.models.presets import ModelConfig
    from paris.experts.training.batches import largest_batch
    from paris.experts.training.config import TrainingConfig
    from paris.experts.training.needs import memory_bytes

    config = TrainingConfig.from_settings(order["training"])
    model, text = ModelConfig.from_settings(order["model"]), TextConfig.from_settings(order["text"])
    step, device = step_of(order, model, config)
    needs = {name: getattr(config, name) for name in ("precision", "moments")}
    rows = 1
    while True:
        batch = largest_batch(model, text, rows).to(device)
        step_s = min(seconds_of(step, batch) for _ in range(_TRIES))  # the first one warms up
        more = min(2 * rows, config.batch_size)
        checkpointing = bool(order["machine"].get("checkpointing"))
        needed = memory_bytes(model, more, checkpointing=checkpointing, **needs)
        if step_s >= _LONG_STEP_S or more == rows or needed > order["memory_bytes"]:
            return {"rows": rows, "batch_size": config.batch_size, "step_s": step_s}
        rows = more


def step_of(order: dict[str, Any], model: Any, config: Any) -> tuple[TrainStep, torch.device]:
    """The step of an untrained expert on the device, as the trainer sets it up."""
    import torch

    from paris.experts.models.model import initial_expert
    from paris.experts.training.machine import (
        MachineSettings,
        configure_model,
        keep_freed_memory,
        limit_gpu_memory,
        make_deterministic,
    )
    from paris.experts.training.micro_batch import MicroBatch
    from paris.experts.training.precision import check_precision
    from paris.experts.training.state import TrainState
    from paris.experts.training.step import TrainStep
    from paris.node.machine.hardware import num_cores

    threads = order["threads"] or num_cores()
    machine = MachineSettings.from_settings({**order["machine"], "device": order["device"], "num_threads": threads})
    device = torch.device(machine.device)
    make_deterministic(device, machine.num_threads)
    limit_gpu_memory(device, machine.gpu_memory_share)
    if device.type == "cpu":
        keep_freed_memory()
    check_precision(device, config.precision)
    expert = initial_expert(model, seed=0).to(device)
    configure_model(expert, machine)
    micro_batch = MicroBatch(machine.micro_batch_size or config.micro_batch_size or config.batch_size)
    return TrainStep(TrainState(expert, config), micro_batch, config.objective), device


def seconds_of(step: TrainStep, batch: Any) -> float:
    """The time of one step, until the device has done it."""
    import torch

    began = time.monotonic()
    step(batch)
    if batch.x0.device.type == "cuda":
        torch.cuda.synchronize()
    elif batch.x0.device.type == "mps":
        torch.mps.synchronize()
    return time.monotonic() - began


if __name__ == "__main__":
    os._exit(main())  # the interpreter's own clean-up after torch takes seconds for nothing
