"""The event log in the database: lines for people, and what each changes of the board.

The board at any event is the fold of the changes until it. Heartbeats are too many for the log: how far the tasks in
training are is noted every half minute at first, and later once in a 200th of the log's age. Where the log is full,
the oldest events that are not for people go first. What a dropped event changed is taken into the next that stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, bindparam, func, select

from paris.coordinator.state.boards import Board, board_after, board_of
from paris.coordinator.state.changes import Changes, changes_between, fold, in_words
from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.model import State
from paris.coordinator.state.tables import EVENTS

_MAX_EVENTS = 100_000
_LEAST_PROGRESS = 1 / 10
"""Of the log: where it holds no more events that are not for people, the oldest of all kinds go."""
_STEPS_EVERY_S = 30.0
_STEPS_SHARE = 1 / 200


@dataclass(frozen=True)
class LoggedEvent:
    """An event as it is in the log."""

    id: int
    at: float
    kind: str
    text: str


@dataclass(frozen=True)
class EventLog:
    """The log as it is on disk."""

    board: Board
    """The fold of all changes."""
    size: int
    """How many events it holds."""
    newest: int
    """Id; 0 of an empty log."""
    first_at: float
    """Of the oldest event, UTC seconds; infinite without one."""
    steps_at: float = float("-inf")
    """When this process last noted the steps, UTC seconds."""
    state: State | None = None
    """As it was added last; None: by another process."""
    whole: Board = field(default_factory=Board)
    """The board of that state."""

    def add(self, connection: Connection, new: State, events: Iterable[Event], now: float) -> EventLog:
        """Write a tick's events, the last with all changes of the tick; without events, one for the changes alone.

        Args:
            connection: In a transaction, that has read this log.
            new: The state after the tick.
            events: Of the tick.
            now: UTC seconds.

        Returns:
            The log after the transaction.
        """
        every_s = max(_STEPS_EVERY_S, (now - self.first_at) * _STEPS_SHARE)
        # A clock that was set back starts anew.
        with_steps = not 0 <= now - self.steps_at < every_s
        board = board_of(new) if self.state is None else board_after(self.whole, self.state, new)
        changes = changes_between(self.board, board, with_steps=with_steps)
        lines = [{"at": now, "kind": event.kind.value, "text": event.text, "changes": None} for event in events]
        if changes and not lines:
            lines = [{"at": now, "kind": EventKind.PROGRESS.value, "text": in_words(changes, board), "changes": None}]
        if not lines:
            return replace(self, state=new, whole=board)
        lines[-1]["changes"] = changes.to_json() if changes else None
        connection.execute(EVENTS.insert(), lines)
        return replace(
            self,
            board=fold(self.board, [changes]),
            size=_drop_oldest(connection, self.size + len(lines)),
            newest=newest_id(connection),
            first_at=min(self.first_at, now),
            steps_at=now if with_steps else self.steps_at,
            state=new,
            whole=board,
        )


def newest_id(connection: Connection) -> int:
    """The id of the newest event; 0 before the first."""
    return connection.execute(select(func.max(EVENTS.c.id))).scalar() or 0


def read_log(connection: Connection, known: EventLog | None) -> EventLog:
    """The log, read again only where another process has written to it.

    Args:
        connection: Of the database.
        known: As it was read or written last; None: never.
    """
    newest = newest_id(connection)
    if known is not None and known.newest == newest:
        return known
    size, first_at = connection.execute(select(func.count(), func.min(EVENTS.c.at)).select_from(EVENTS)).one()
    changes = select(EVENTS.c.changes).where(EVENTS.c.changes.is_not(None)).order_by(EVENTS.c.id)
    board = fold(Board(), map(Changes.from_json, connection.execute(changes).scalars()))
    return EventLog(board, size, newest, float("inf") if first_at is None else first_at)


def read_events(connection: Connection, after: int) -> list[LoggedEvent]:
    """The lines for people with a greater id than `after`, oldest first."""
    columns = (EVENTS.c.id, EVENTS.c.at, EVENTS.c.kind, EVENTS.c.text)
    wanted = (EVENTS.c.id > after, EVENTS.c.kind != EventKind.PROGRESS.value)
    return [LoggedEvent(*row) for row in connection.execute(select(*columns).where(*wanted).order_by(EVENTS.c.id))]


def _drop_oldest(connection: Connection, size: int) -> int:
    """Drop events where there are too many, a hundredth of the log at a time; how many are left.

    Args:
        connection: In a transaction.
        size: How many there are.
    """
    if size < _MAX_EVENTS + max(1, _MAX_EVENTS // 100):
        return size
    going = _going(connection, size - _MAX_EVENTS)
    _pass_on(connection, going)
    connection.execute(EVENTS.delete().where(EVENTS.c.id == bindparam("gone")), [{"gone": name} for name in going])
    return size - len(going)


def _going(connection: Connection, number: int) -> set[int]:
    """Ids of the events to drop: the oldest that are not for people, then the oldest of all. The newest stays."""
    is_progress = EVENTS.c.kind == EventKind.PROGRESS.value
    num_progress = connection.execute(select(func.count()).where(is_progress)).scalar_one()
    spare = num_progress - max(1, int(_MAX_EVENTS * _LEAST_PROGRESS))
    oldest = select(EVENTS.c.id).order_by(EVENTS.c.id)
    going = set(connection.execute(oldest.where(is_progress).limit(min(number, max(0, spare)))).scalars())
    others = [name for name in connection.execute(oldest.limit(number)).scalars() if name not in going]
    return going.union(others[: number - len(going)])


def _pass_on(connection: Connection, going: set[int]) -> None:
    """Take what each of the events changed into the next that stays."""
    oldest = connection.execute(select(func.min(EVENTS.c.id))).scalar_one()
    until = connection.execute(select(func.min(EVENTS.c.id)).where(EVENTS.c.id > max(going))).scalar_one()
    between = (EVENTS.c.id >= min(going), EVENTS.c.id <= until)
    carried, merged = Changes(), []
    is_first = oldest in going
    for name, text in connection.execute(select(EVENTS.c.id, EVENTS.c.changes).where(*between).order_by(EVENTS.c.id)):
        if name in going:
            carried = carried.then(Changes.from_json(text))
            continue
        if carried:
            whole = carried.then(Changes.from_json(text))
            if is_first:  # it need not name the rows that are gone
                whole = changes_between(Board(), fold(Board(), [whole]), with_steps=True)
            merged.append({"kept": name, "whole": whole.to_json() if whole else None})
        carried, is_first = Changes(), False
    if merged:
        update = EVENTS.update().where(EVENTS.c.id == bindparam("kept"))
        connection.execute(update.values(changes=bindparam("whole")), merged)
