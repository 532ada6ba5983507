"""What the page shows: the node's state, its course, its past work and the settings in force."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from paris.node.machine.config import NodeConfig
from paris.node.machine.credits import Credits, credits_of
from paris.node.machine.drawings import DrawingsIndex
from paris.node.machine.unit import Unit
from paris.node.manners.settings import Manners
from paris.node.page.site import Site
from paris.node.view.board import NodeStatus
from paris.protocol.clock import Clock
from paris.protocol.errors import ParisError
from paris.protocol.secrets import redact

TEMPLATE = "page.html"
_KEPT_S = 3.0
_TAIL_BYTES = 32_768
_TAIL_LINES = 40
_MOST_UNITS = 100
_LEFT_OUT = ("page", "page_port", "page_host", "hub_token_file")
"""Settings that are seen by the page being there, or that lead to a secret."""


@dataclass(frozen=True)
class UnitRow:
    """One unit in words."""

    label: str
    task_id: str
    state: str
    start_step: int
    end_step: int
    outcome: str
    credit_steps: int | None
    began_at: float | None
    """UTC seconds."""


@dataclass(frozen=True)
class Drawn:
    """What a task's expert drew."""

    task_id: str
    index: DrawingsIndex
    steps: list[int]
    shown: int | None
    """The step that is shown large; None without any."""


_Past = tuple[list[UnitRow], Credits | None, str]
"""Rows of the newest units first, what they were credited with, and what cannot be read."""


class Content:
    """Puts together what the templates show.

    Args:
        site: The node.
        clock: UTC seconds.
    """

    def __init__(self, site: Site, clock: Clock = time.time) -> None:
        self._site, self._clock = site, clock
        self._read: tuple[float, str, _Past] = (0.0, "", ([], None, ""))

    def context(self, step: int | None = None) -> dict[str, Any]:
        """Values of the page's template.

        Args:
            step: Of the drawing that is shown large; None, or one without a drawing: the newest.
        """
        site, status = self._site, self._site.board.status
        course = site.course.so_far
        rows, credits, problem = self._past(status.run_id)
        return {
            "status": status,
            "device": site.home.device or status.device,
            "wishes": site.wishes,
            "points": course.points,
            "drawn": self._drawn(status, rows, step),
            "happenings": course.happenings,
            "rows": rows,
            "credits": credits,
            "problem": problem,
            "settings": settings_in_force(site.config),
            "log_lines": self._log_tail(),
        }

    def grid(self, task_id: str, step: int) -> bytes | None:
        """A drawing as PNG; None without one. Of tasks alone that this node has worked on."""
        status = self._site.board.status
        known = {status.task_id, *(row.task_id for row in self._past(status.run_id)[0])}
        return self._site.home.drawings(status.run_id, task_id).grid(step) if task_id in known else None

    def _drawn(self, status: NodeStatus, rows: list[UnitRow], step: int | None) -> Drawn | None:
        """The drawings of the present task, or of the last one; None without any."""
        task_id = status.task_id or (rows[0].task_id if rows else None)
        if task_id is None or not status.run_id:
            return None
        drawings = self._site.home.drawings(status.run_id, task_id)
        index, steps = drawings.index(), drawings.steps()
        if index is None:
            return None
        shown = step if step in steps else steps[-1] if steps else None
        return Drawn(task_id, index, steps, shown)

    def _past(self, run_id: str) -> _Past:
        """As on disk some seconds ago at most: every open window asks once a second."""
        read_at, read_of, past = self._read
        if read_of != run_id or not 0 <= self._clock() - read_at < _KEPT_S:
            past = self._read_past(run_id) if run_id else ([], None, "")
            self._read = (self._clock(), run_id, past)
        return past

    def _read_past(self, run_id: str) -> _Past:
        try:
            units = self._site.home.units(run_id)
        except ParisError as error:
            return [], None, f"{error.what} {error.next_step}"
        return [row_of(unit) for _, unit in units[: -_MOST_UNITS - 1 : -1]], credits_of(run_id, units), ""

    def _log_tail(self) -> list[str]:
        """The last lines of the node's log, without secrets."""
        path = self._site.home.log
        if not path.is_file():
            return []
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            lines = file.read(_TAIL_BYTES).decode("utf-8", "replace").splitlines()
        return [redact(line) for line in deque(lines, maxlen=_TAIL_LINES)]


def row_of(unit: Unit) -> UnitRow:
    """A unit in words."""
    outcome, credit = unit.reason, None
    if unit.verdict is not None:
        outcome = "accepted" if unit.verdict.accepted else f"rejected: {unit.verdict.reason}"
        if unit.verdict.accepted:
            credit = unit.task.steps if unit.verdict.credit_steps is None else unit.verdict.credit_steps
    began_at = unit.history[0][1] if unit.history else None
    steps = unit.start_step, unit.end_step
    return UnitRow(unit.label, unit.task.task_id, unit.state, *steps, outcome, credit, began_at)


def settings_in_force(config: NodeConfig) -> list[tuple[str, str]]:
    """Names and values: when and how hard the machine trains, and what else differs from the default."""
    shown = []
    for name, field in NodeConfig.model_fields.items():
        value = getattr(config, name)
        if name not in _LEFT_OUT and (name in Manners.model_fields or value != field.default):
            shown.append((name, _in_words(value)))
    return shown


def _in_words(value: Any) -> str:
    match value:
        case None | "" | ():
            return "not set"
        case bool():
            return "yes" if value else "no"
        case tuple():
            return ", ".join(map(str, value))
        case _:
            return str(value)
