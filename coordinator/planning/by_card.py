"""The run's work on one card: rows in memory together, hours, days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from paris.coordinator.planning.checking import checks_of, further_lanes, relay_of
from paris.coordinator.planning.facts import Facts
from paris.coordinator.planning.needs import computed_needs
from paris.coordinator.planning.plan import CardPlan
from paris.coordinator.planning.speed import RECOMPUTED, Speed
from paris.coordinator.planning.work import Work
from paris.coordinator.run.shapes import smaller_shapes
from paris.coordinator.run.stretches import FEWEST_STRETCHES
from paris.experts.training.needs import memory_bytes

PREPARE_ROWS_PER_S = 1_500
"""Of `prepare` without its networks (benchmarks.prepare)."""
_PREPARE_STARTS = 1.7
"""The fixed part of `prepare`, as a multiple of a process's start with torch: Daft, clusters, pages (the demo)."""
USUAL_START_S = 2.4
"""Start of a process with torch, on two cores of a server."""


@dataclass(frozen=True)
class Machine:
    """A card, or this machine, as a volunteer may have it."""

    name: str
    memory_bytes: int
    training: Speed | None
    """In the run's precision; None: it lacks the precision."""
    inference: Speed
    """In float32: verification and the networks of `prepare`."""
    is_measured: bool = False
    start_s: float = USUAL_START_S
    """Start of a process with torch."""
    shared: float = 0.0
    """Part of the machine that one volunteer's threads take, where all volunteers share it; 0: each has one."""


class _Fitting(NamedTuple):
    """How a batch fits into a card's memory."""

    rows: int
    """In memory together."""
    checkpointing: bool


def on_card(machine: Machine, facts: Facts, work: Work, volunteers: int) -> CardPlan:
    """The work on a card.

    Args:
        machine: The card.
        facts: The run.
        work: Its operations.
        volunteers: Volunteers at once.
    """
    fitting, obstacle = _rows_together(facts, machine.memory_bytes), ""
    if machine.training is None:
        obstacle = f"no {facts.precision}"
    elif fitting is None:
        obstacle = _without_memory(facts, machine.memory_bytes)
    times, checks = _organiser_times(machine, facts, work), None
    if machine.training is not None and fitting is not None:
        trained = _training_times(machine, machine.training, fitting, facts, work, volunteers)
        checks = checks_of(facts, volunteers, trained["step_s"], times["verification_s"])
        times |= trained
    return CardPlan(
        name=machine.name,
        is_measured=machine.is_measured,
        memory_bytes=machine.memory_bytes,
        obstacle=obstacle,
        rows_together=None if obstacle or fitting is None else fitting.rows,
        checkpointing=not obstacle and fitting is not None and fitting.checkpointing,
        checks=checks,
        **times,
    )


def _without_memory(facts: Facts, available_bytes: int) -> str:
    """What a card does that cannot hold the run's model: train a smaller size, where it can hold one."""
    for number, size in enumerate(smaller_shapes(facts.config), start=1):
        if computed_needs(facts.config, facts.text, size).memory_bytes <= available_bytes:
            return f"smaller size {number}"
    return "too little memory"


def _organiser_times(machine: Machine, facts: Facts, work: Work) -> dict[str, float]:
    """Seconds of what the organiser's machine does."""
    slow, routing = machine.inference, _router_speed(machine, facts)
    fixed_s = _PREPARE_STARTS * machine.start_s + facts.data.num_pictures / PREPARE_ROWS_PER_S
    return {
        "verification_s": work.verification / slow.flops_per_s,
        "prepare_s": fixed_s + work.prepare / slow.flops_per_s,
        "router_s": facts.config.router.steps * routing.step_s(facts.router.num_layers, 0)
        + work.router / routing.flops_per_s,
    }


def _training_times(
    machine: Machine, speed: Speed, fitting: _Fitting, facts: Facts, work: Work, volunteers: int
) -> dict[str, float]:
    """Seconds of what volunteers do."""
    factor, pieces = RECOMPUTED if fitting.checkpointing else 1.0, -(-facts.batch_size // fitting.rows)
    steps, experts = facts.config.tasks.steps, facts.config.run.num_experts
    step_s = speed.step_s(facts.model.num_layers, work.step * factor, pieces)
    expert_s = steps * step_s + (work.expert - steps * work.step) / speed.flops_per_s
    lanes = further_lanes(facts, volunteers)
    rounds = rounds_s(expert_s, experts, volunteers, machine.shared * (1 + lanes / experts))
    lanes_s = lanes * relay_of(facts, step_s).round_steps * step_s
    return {
        "step_s": step_s,
        "expert_s": expert_s,
        **_leg_time(facts, step_s),
        "experts_s": experts * expert_s + lanes_s,
        "beside_s": sum(together * seconds for together, seconds in rounds) / experts,
        "all_s": sum(seconds for _, seconds in rounds),
        "warm_start_s": work.warm_start * factor / speed.flops_per_s,
    }


def _leg_time(facts: Facts, step_s: float) -> dict[str, float]:
    """Seconds of a leg: of its steps, or of leg_hours where the fewest stretches take less."""
    config = facts.config
    if config.leg_steps is None:
        return {}
    hours, least = config.tasks.leg_hours, min(config.tasks.steps, FEWEST_STRETCHES * config.snapshot_every)
    return {"leg_s": config.leg_steps * step_s if hours is None else max(hours * 3600, least * step_s)}


def _router_speed(machine: Machine, facts: Facts) -> Speed:
    """The router has a precision of its own; one that is not the experts' is taken for float32."""
    precision = facts.config.router.training.get("precision", "float32")
    return machine.training if machine.training is not None and precision == facts.precision else machine.inference


def rounds_s(expert_s: float, experts: int, volunteers: int, shared: float = 0.0) -> list[tuple[int, float]]:
    """How many experts train together, and for how long, if each volunteer takes the next task when one is done.

    Args:
        expert_s: One expert alone.
        experts: K.
        volunteers: At work at once.
        shared: As in `Machine`: three volunteers that take half a machine each are slowed down to two thirds.
    """
    sizes = [volunteers] * (experts // volunteers) + ([experts % volunteers] if experts % volunteers else [])
    return [(together, expert_s * max(1.0, together * shared)) for together in sizes]


def _rows_together(facts: Facts, available_bytes: int) -> _Fitting | None:
    """Rows of a batch that fit, as the trainer halves it, and whether with checkpointing; None if not even one does."""
    text = 0 if facts.text is None else facts.text.bytes
    chosen = int(facts.config.expert_training.get("micro_batch_size", facts.batch_size))
    for checkpointing in (False, True):
        rows = min(chosen, facts.batch_size)
        while True:
            taken = memory_bytes(
                facts.model, rows, checkpointing=checkpointing, precision=facts.precision, moments=facts.moments
            )
            if taken + text <= available_bytes:
                return _Fitting(rows, checkpointing)
            if rows == 1:
                break
            rows = -(-rows // 2)
    return None
