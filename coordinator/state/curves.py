"""Loss curves of the tasks, with a bounded number of points.

A curve that reaches `_MAX_POINTS` is thinned to half, evenly over its steps; another attempt's points are dropped when
one has its first.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, bindparam, func, select

from paris.coordinator.state.indexes import indexes_of
from paris.coordinator.state.model import WAITING, LeaseState, State
from paris.coordinator.state.tables import CURVES
from paris.protocol.work_records import Heartbeat

_MAX_POINTS = 1024


@dataclass(frozen=True)
class Loss:
    """A point of a curve, from a heartbeat."""

    task_id: str
    attempt: int
    step: int
    loss: float


def new_losses(old: State, new: State) -> list[Loss]:
    """The points of new heartbeats. Of a task's parallel leases the one with the most steps has the curve.

    Args:
        old: What the points so far are of.
        new: What follows it.
    """
    if old.leases is new.leases:
        return []
    leading: dict[str, Heartbeat] = {}
    changed = {held.lease.task_id for name, held in new.leases.items() if old.leases.get(name) is not held}
    of_task = indexes_of(new).of_task
    for held in (new.leases[lease_id] for task_id in changed for lease_id in of_task.of(task_id)):
        if (beat := held.heartbeat) is None or _is_over(new, held):
            continue
        if beat.task_id not in leading or beat.step >= leading[beat.task_id].step:
            leading[beat.task_id] = beat
    return [
        Loss(beat.task_id, beat.attempt, beat.step, beat.loss)
        for beat in leading.values()
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
        where = (CURVES.c.task_id, CURVES.c.attempt)
        rows = connection.execute(select(*where, func.count()).group_by(*where)).all()
        self._num_points = Counter({(task_id, attempt): count for task_id, attempt, count in rows})

    def add(self, connection: Connection, losses: list[Loss]) -> None:
        """Add points, all by one statement, and thin the curves that are full."""
        if not losses:
            return
        connection.execute(CURVES.insert(), [asdict(loss) for loss in losses])
        for loss in losses:
            key = (loss.task_id, loss.attempt)
            if key not in self._num_points:
                self._drop_others(connection, loss)
            self._num_points[key] += 1
            if self._num_points[key] >= _MAX_POINTS:
                self._thin(connection, *key)

    def thin_all(self, connection: Connection) -> None:
        """Thin the curves that are full, such as those of an earlier version, and drop earlier attempts' points."""
        newest = dict(sorted(self._num_points))
        for task_id, attempt in list(self._num_points):
            if attempt < newest[task_id]:
                of_attempt = (CURVES.c.task_id == task_id, CURVES.c.attempt == attempt)
                connection.execute(CURVES.delete().where(*of_attempt))
                del self._num_points[task_id, attempt]
            elif self._num_points[task_id, attempt] >= _MAX_POINTS:
                self._thin(connection, task_id, attempt)

    def read(self, connection: Connection) -> dict[str, list[tuple[int, float]]]:
        """Step and loss of each task's last attempt."""
        rows = connection.execute(select(CURVES).order_by(CURVES.c.id)).all()
        newest: dict[str, int] = {}
        for row in rows:
            newest[row.task_id] = max(row.attempt, newest.get(row.task_id, 0))
        curves: dict[str, list[tuple[int, float]]] = {}
        for row in rows:
            if row.attempt == newest[row.task_id]:
                curves.setdefault(row.task_id, []).append((row.step, row.loss))
        return curves

    def _drop_others(self, connection: Connection, loss: Loss) -> None:
        """Drop the points of a task's other attempts."""
        of_others = (CURVES.c.task_id == loss.task_id, CURVES.c.attempt != loss.attempt)
        connection.execute(CURVES.delete().where(*of_others))
        for other in [key for key in self._num_points if key[0] == loss.task_id and key[1] != loss.attempt]:
            del self._num_points[other]

    def _thin(self, connection: Connection, task_id: str, attempt: int) -> None:
        of_curve = (CURVES.c.task_id == task_id, CURVES.c.attempt == attempt)
        points = connection.execute(select(CURVES.c.id, CURVES.c.step).where(*of_curve).order_by(CURVES.c.id)).all()
        excess = _too_close([(row.id, row.step) for row in points], _MAX_POINTS // 2)
        rows = [{"row_id": row_id} for row_id in excess]
        connection.execute(CURVES.delete().where(CURVES.c.id == bindparam("row_id")), rows)
        self._num_points[task_id, attempt] = len(points) - len(rows)


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
