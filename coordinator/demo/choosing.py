"""Chooses a demo for the user's own pictures: look at them, measure this machine, fit both into the time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from paris.coordinator.demo.budget import Budget, choose, workers_for
from paris.coordinator.demo.settings import (
    OwnPictures,
    expectation,
    facts_of,
    load_note,
    own_pictures,
    reasons,
    settings,
    volunteers_note,
)
from paris.coordinator.demo.shapes import shapes_for
from paris.coordinator.demo.speed import MachineSpeed, measure_speed
from paris.coordinator.planning.measured import MeasuredCase
from paris.coordinator.proposal.choices import Reason
from paris.coordinator.proposal.survey import survey
from paris.coordinator.run.config import RunConfig
from paris.experts.installed import missing_module

_EMBEDDER = "efficientnet_lite_pytorch"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Asked:
    """What the user asks for."""

    data: str
    """A folder, a file, `org/name` of a data set, or the address of its page."""
    minutes: float
    volunteers: int | None
    """None: by the cores."""
    device: str
    """"auto" takes a GPU if there is one."""


@dataclass(frozen=True)
class Choice:
    """A demo that fits into the time."""

    config: RunConfig
    budget: Budget
    machine: MachineSpeed
    reasons: tuple[Reason, ...]
    expectation: str
    spent_s: float
    """Seconds that choosing took."""


def choose_demo(asked: Asked, progress: Progress) -> Choice:
    """Look, measure and choose. Nothing is written.

    Args:
        asked: What the user asks for.
        progress: Called with (stage, done, total); the total is 0 where it is unknown.

    Raises:
        BudgetError: The time is too short.
        MissingModuleError: The packages of the embedder are not installed.
        PrepareError: The source cannot be used.
        SettingsError: Torch has no such device.
        WorkerError: The speed could not be measured.
    """
    _require_embedder()
    started, load = time.monotonic(), os.getloadavg()[0]
    own, decode_s = _look(asked.data, progress)
    facts, cores = facts_of(own, decode_s), os.cpu_count() or 1
    workers = workers_for(own.rows, cores, asked.volunteers)
    shapes = shapes_for(own.side_px)
    cases = [MeasuredCase(model=shapes[0].model(facts.text), batch_size=shapes[0].batch_size)]
    progress("measure", 0, 1)
    machine = measure_speed(cases, device=asked.device, num_workers=workers, num_threads=max(1, cores // workers))
    progress("measure", 1, 1)
    spent_s = time.monotonic() - started
    budget = choose(facts, shapes, machine, total_s=60 * asked.minutes, spent_s=spent_s)
    return Choice(
        config=settings(own, budget, machine),
        budget=budget,
        machine=machine,
        reasons=(
            *reasons(own, facts, budget, machine),
            *volunteers_note(asked.volunteers, budget.num_workers),
            *load_note(load, cores),
        ),
        expectation=expectation(facts, budget),
        spent_s=time.monotonic() - started,
    )


def _look(data: str, progress: Progress) -> tuple[OwnPictures, float]:
    """The pictures, and seconds to read and decode one."""
    listed_at = time.monotonic()

    def report(stage: str, done: int, total: int) -> None:
        nonlocal listed_at
        if stage == "list":
            listed_at = time.monotonic()
        progress(stage, done, total)

    found = survey(data, report)
    return own_pictures(found), (time.monotonic() - listed_at) / max(1, found.pictures.sampled)


def _require_embedder() -> None:
    """Fail before anything is measured, not in `prepare`."""
    if find_spec(_EMBEDDER) is None and (error := missing_module(ModuleNotFoundError(name=_EMBEDDER))):
        raise error
