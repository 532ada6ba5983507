"""Loss curves of the tasks, with a bounded number of points.

A curve that reaches `_MAX_POINTS` is thinned to half, evenly over its steps. An attempt goes on from the verified state
at the first step of its lease: what others reported beyond it is dropped when this one has its first point.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, bindparam, func, select

from paris.coordinator.state.indexes import indexes_of
from paris.coordinator.state.model import WAITING, LeaseState, State
from paris.coordinator.state.tables import CURVES
from paris.protocol.leases import first_step
from paris.protocol.work_records import Heartbeat

_MAX_POINTS = 1024


@dataclass(frozen=True)
class Point:
    """A row of the table."""

    task_id: str
    attempt: int
    step: int
    loss: float


@dataclass(frozen=True)
class Loss:
    """A new point, from a heartbeat."""

    point: Point
    start_step: int
    """Its attempt goes on from the state at this step."""


def new_losses(old: State, new: State) -> list[Loss]:
    """The points of new heartbeats. Of a task's parallel leases the one with the most steps has the curve.

    Args:
        old: What the points so far are of.
        new: What follows it.
    """
    if old.leases is new.leases:
        return []
    leading: dict[str, tuple[Heartbeat, int]] = {}
    changed = {held.lease.task_id for name, held in new.leases.items() if old.leases.get(name) is not held}
    of_task = indexes_of(new).of_task
    for held in (new.leases[lease_id] for task_id in changed for lease_id in of_task.of(task_id)):
        if (beat := held.heartbeat) is None or _is_over(new, held):
            continue
        if beat.task_id not in leading or beat.step >= leading[beat.task_id][0].step:
            leading[beat.task_id] = beat, first_step(held.lease)
    return [
        Loss(Point(beat.task_id, beat.attempt, beat.step, beat.loss), start_step)
        for beat, start_step in leading.values()
        if beat.loss is not None and beat.step != _reported(old, beat.lease_id)
    ]


def _is_over(state: State, held: LeaseState) -> bool:
    """Whether a lease is taken back, or its work judged."""
    known = state.submissions.get(held.lease.lease_id)
    return held.lease.state != "granted" or (known is not None and known.phase not in WAITING)


def _reported(state: State, lease_id: str) -> int | None:
    """The last step that was reported under a lease."""
    held = state.leases.get(lease_id)
    return None if held is None or held.heartbeat is None else held.heartbeat.step


class Curves:
    """The points in the database.

    Args:
        connection: To count them by.
    """

    def __init__(self, connection: Connection) -> None:
        counts = connection.execute(
            select(CURVES.c.task_id, func.count().label("num")).group_by(CURVES.c.task_id)
        ).all()
        self._num_points = Counter({row.task_id: row.num for row in counts})
        newest = select(func.max(CURVES.c.id)).group_by(CURVES.c.task_id)
        rows = connection.execute(select(CURVES.c.task_id, CURVES.c.attempt).where(CURVES.c.id.in_(newest))).all()
        self._attempts = {row.task_id: row.attempt for row in rows}
        """Of each task's newest point."""

    def add(self, connection: Connection, losses: list[Loss]) -> None:
        """Add points, all by one statement, and thin the curves that are full."""
        if not losses:
            return
        connection.execute(CURVES.insert(), [asdict(loss.point) for loss in losses])
        for loss in losses:
            point = loss.point
            if self._attempts.get(point.task_id, point.attempt) != point.attempt:
                self._drop_others(connection, loss)
            self._attempts[point.task_id] = point.attempt
            self._num_points[point.task_id] += 1
            if self._num_points[point.task_id] >= _MAX_POINTS:
                self._thin(connection, point.task_id)

    def thin_all(self, connection: Connection) -> None:
        """Thin the curves that are full, such as those of an earlier version."""
        for task_id, count in list(self._num_points.items()):
            if count >= _MAX_POINTS:
                self._thin(connection, task_id)

    def read(self, connection: Connection) -> dict[str, list[tuple[int, float]]]:
        """Step and loss of each task."""
        curves: dict[str, list[tuple[int, float]]] = {}
        for row in connection.execute(select(CURVES).order_by(CURVES.c.id)):
            curves.setdefault(row.task_id, []).append((row.step, row.loss))
        return curves

    def _drop_others(self, connection: Connection, loss: Loss) -> None:
        """Drop what other attempts reported beyond the step from which this one goes on."""
        point = loss.point
        beyond = (CURVES.c.task_id == point.task_id, CURVES.c.attempt != point.attempt, CURVES.c.step > loss.start_step)
        dropped = connection.execute(CURVES.delete().where(*beyond))
        self._num_points[point.task_id] -= dropped.rowcount

    def _thin(self, connection: Connection, task_id: str) -> None:
        of_curve = select(CURVES.c.id, CURVES.c.step).where(CURVES.c.task_id == task_id).order_by(CURVES.c.id)
        points = connection.execute(of_curve).all()
        excess = _too_close([(row.id, row.step) for row in points], _MAX_POINTS // 2)
        rows = [{"row_id": row_id} for row_id in excess]
        connection.execute(CURVES.delete().where(CURVES.c.id == bindparam("row_id")), rows)
        self._num_points[task_id] = len(points) - len(rows)


def _too_close(points: list[tuple[int, int]], num_kept: int) -> list[int]:
    """Ids of the points to leave out, so that at most `num_kept` and the last are left, evenly over the steps.

    Args:
        points: Id and step; steps go back where training resumed from a snapshot.
        num_kept: How many intervals of steps keep a point, their first.
    """
    steps = [step for _, step in points]
    first, width = min(steps), (max(steps) - min(steps) + 1) / num_kept
    seen: set[int] = set()
    excess = []
    for row_id, step in points[:-1]:
        interval = int((step - first) / width)
        if interval in seen:
            excess.append(row_id)
        seen.add(interval)
    return excess
