"""The trainer's order for a unit: settings of the run, files on disk, and what this machine allows."""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import Any

from paris.node.fetching.cache import Cache
from paris.node.machine.config import NodeConfig
from paris.node.machine.drawings import NUM_PICTURES, NUM_STEPS
from paris.node.machine.hardware import Hardware
from paris.node.machine.machine import Machine
from paris.node.machine.unit import Unit, UnitFolder
from paris.node.trainer.order import DrawingOrder, Order, ShardFile
from paris.node.work.head import head_of
from paris.protocol.lanes import expert_of, lane_of
from paris.protocol.run_records import RunSpec
from paris.protocol.sizes import of_size

_DRAWINGS = 40
_PASSES_OF_A_ROW = 3
"""A training step takes as much as three passes of each of its rows: one forward, and one backward that costs two."""
_STEPS_FOR_ONE = 50
"""Steps between two drawings are worth so many times a drawing at least."""


def make_order(spec: RunSpec, unit: Unit, folder: UnitFolder, cache: Cache, machine: Machine) -> Order:
    """Put the order together.

    Args:
        spec: The run; the unit's lease decides the size of the expert.
        unit: With its shards.
        folder: Takes snapshots and the finished weights.
        cache: Where the shards are, or will be.
        machine: Home, settings and hardware.
    """
    spec = of_size(spec, unit.lease.size)
    return Order(
        run_id=unit.run_id,
        task_id=expert_of(unit.task.task_id),
        seed=spec.seed,
        steps=unit.task.steps,
        batch_size=unit.task.batch_size,
        model=spec.model,
        training=spec.training,
        objective=unit.task.objective,
        text=spec.text,
        codec=spec.codec,
        initial_weights=spec.initial_weights,
        shards=tuple(ShardFile(path=str(cache.file(s.sha256).absolute()), rows=s.rows) for s in unit.shards),
        text_folder=str(machine.home.text_folder(unit.run_id).absolute()),
        work=str(folder.work.absolute()),
        leg=_leg(unit),
        device=machine.hardware.device,
        threads=machine.config.threads,
        nice=machine.config.nice,
        drawing=_drawing(unit, machine),
        machine=machine_settings(machine.config, machine.hardware),
    )


def _drawing(unit: Unit, machine: Machine) -> DrawingOrder | None:
    """Where somebody may look at it; never of an audit, whose steps are another volunteer's."""
    every_steps = drawn_every(machine.config, unit.task.steps, unit.task.batch_size)
    if unit.lease.audit or not machine.config.page or not every_steps:
        return None
    folder = machine.home.drawings(unit.run_id, unit.task.task_id).folder
    return DrawingOrder(folder=str(folder.absolute()), every_steps=every_steps)


def drawn_every(config: NodeConfig, steps: int, batch_size: int) -> int:
    """Steps between two drawings; 0: none.

    Args:
        config: May say it; else 40 in a task, or fewer where they took more than a fiftieth of its work.
        steps: Of the task.
        batch_size: Rows of one step.
    """
    if config.draw_every_steps is not None:
        return config.draw_every_steps
    affordable = math.ceil(_STEPS_FOR_ONE * NUM_PICTURES * NUM_STEPS / (_PASSES_OF_A_ROW * batch_size))
    return max(affordable, steps // _DRAWINGS)


def _leg(unit: Unit) -> dict[str, Any] | None:
    if not unit.is_leg:
        return None
    head, leg = head_of(unit), {"until_step": unit.end_step, "lane": lane_of(unit.task.task_id)}
    if head is None:
        return leg
    fields = head.model_dump(mode="json", include={"step", "loss", "previous", "commitment"})
    files = {PurePosixPath(file.path).stem: file.sha256 for file in head.files}
    return {**leg, "head": {**fields, "files": files}}


def machine_settings(config: NodeConfig, hardware: Hardware) -> dict[str, Any]:
    """Fields of `paris.experts.training.machine.MachineSettings` for the trainer.

    A GPU reports itself that its memory is full. A CPU's system would kill the process, so the trainer gets a limit.
    """
    chosen = {name: getattr(config, name) for name in ("micro_batch_size", "checkpointing", "compile")}
    is_cpu = hardware.device == "cpu"
    limit = {"memory_limit_bytes": hardware.memory_bytes} if is_cpu else {"gpu_memory_share": config.gpu_memory_share}
    return {name: value for name, value in (chosen | limit).items() if value is not None}
