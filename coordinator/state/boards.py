"""Small copies of the board, from which the page shows a run as it was.

A copy is kept of at most every half minute in which something changed. When there are `_MOST`, every second one of the
older three quarters goes: what is long ago is known in larger steps.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, func, select

from paris.coordinator.state.model import State, TaskState
from paris.coordinator.state.tables import BOARDS
from paris.protocol.lanes import expert_of, lane_of

_EVERY_S = 30.0
_MOST = 2000
_FORMAT = 1


@dataclass(frozen=True)
class BoardRow:
    """A task as it was."""

    task_id: str
    state: str
    """Of the task."""
    phase: str
    """Of the last heartbeat; empty without one."""
    attempt: int
    volunteer: str
    """Name of the volunteer that held it, or made its expert."""
    step: int
    verified_step: int
    steps: int
    loss: float | None
    num_others: int = 0
    """Further volunteers that hold parallel leases of it."""

    @property
    def holders(self) -> str:
        """Who works on it, for people: "ada and 2 others"; "2 volunteers" where the latest gave it back."""
        if self.num_others == 0:
            return self.volunteer
        what = "other" if self.volunteer else "volunteer"
        number = f"{self.num_others} {what}{'' if self.num_others == 1 else 's'}"
        return f"{self.volunteer} and {number}" if self.volunteer else number


class Boards:
    """The copies in the database.

    Args:
        connection: To count them by.
    """

    def __init__(self, connection: Connection) -> None:
        self._count, newest = connection.execute(select(func.count(), func.max(BOARDS.c.at))).one()
        self._newest_at = float(newest or 0.0)

    def add(self, connection: Connection, state: State, now: float) -> None:
        """Keep a copy, unless there is one of the last half minute; a clock that was set back starts anew."""
        if 0 <= now - self._newest_at < _EVERY_S or not state.tasks:
            return
        connection.execute(BOARDS.insert().values(at=now, board=pack_board(board_of(state))))
        self._count, self._newest_at = self._count + 1, now
        if self._count >= _MOST:
            self._thin(connection)

    def _thin(self, connection: Connection) -> None:
        ids = connection.execute(select(BOARDS.c.id).order_by(BOARDS.c.at)).scalars().all()
        dropped = ids[1 : len(ids) * 3 // 4 : 2]
        connection.execute(BOARDS.delete().where(BOARDS.c.id.in_(dropped)))
        self._count = len(ids) - len(dropped)


def shown_tasks(state: State) -> list[TaskState]:
    """The tasks in the order of their clusters; further lanes of an expert until it is registered."""
    done = {task_id for task_id, task in state.experts.items() if task.registration is not None}
    shown = [task for task_id, task in state.tasks.items() if lane_of(task_id) == 0 or expert_of(task_id) not in done]
    return sorted(shown, key=lambda task: (task.task.cluster, lane_of(task.task.task_id)))


def board_of(state: State) -> list[BoardRow]:
    """The board of a state, in the order of the clusters."""
    others = num_others(state)
    return [board_row(state, task, others[task.task.task_id]) for task in shown_tasks(state)]


def num_others(state: State) -> Counter[str]:
    """By task: the leases that are worked on beside the present one."""
    return Counter(
        held.lease.task_id
        for lease_id, held in state.leases.items()
        if held.lease.state == "granted" and held.lease.audit is None and lease_id not in state.submissions
        if state.tasks[held.lease.task_id].lease_id != lease_id
    )


def board_row(state: State, task: TaskState, others: int) -> BoardRow:
    """A task with its present lease and last heartbeat.

    Args:
        state: The state.
        task: Of the state.
        others: As `num_others` counts them.
    """
    held = state.leases.get(task.lease_id or "")
    beat = None if held is None else held.heartbeat
    volunteer = None if held is None else state.volunteers.get(held.lease.volunteer)
    registration = task.registration
    verified = _verified_step(task)
    name = volunteer.want.name if volunteer is not None else registration.volunteer_name if registration else ""
    return BoardRow(
        task_id=task.task.task_id,
        state="waiting" if task.is_waiting else task.task.state,
        phase="" if beat is None else beat.state,
        attempt=task.task.attempt,
        volunteer=name,
        step=verified if beat is None else beat.step,
        verified_step=verified,
        steps=task.task.steps,
        loss=None if beat is None else beat.loss,
        num_others=0 if registration is not None else others,
    )


def _verified_step(task: TaskState) -> int:
    """The last step of verified work: of the registered expert, or of a leg."""
    if task.registration is not None:
        return task.registration.steps
    return 0 if task.task.head is None else task.task.head.step


def pack_board(rows: list[BoardRow]) -> bytes:
    """A board as compressed JSON."""
    return zlib.compress(json.dumps({"format": _FORMAT, "tasks": [asdict(row) for row in rows]}).encode(), 6)


def unpack_board(data: bytes) -> list[BoardRow]:
    """The board in `pack_board`'s bytes; empty for another format."""
    value = json.loads(zlib.decompress(data))
    return [BoardRow(**row) for row in value["tasks"]] if value.get("format") == _FORMAT else []
