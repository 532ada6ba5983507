"""The event log in the database: lines for people, and what each changes of the board.

The board at any event is the fold of the changes until it. Heartbeats are too many for the log: how far the tasks in
training are is noted every half minute at first, and later once in a 200th of the log's age. Before the oldest events
are dropped, their changes are taken into the first that is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sqlalchemy import Connection, func, select

from paris.coordinator.state.boards import Board, board_of
from paris.coordinator.state.changes import Changes, changes_between, fold, in_words
from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.model import State
from paris.coordinator.state.tables import EVENTS

_MAX_EVENTS = 100_000
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
    oldest: int
    newest: int
    """Ids; 1 and 0 of an empty log."""
    first_at: float
    """Of the oldest event, UTC seconds; infinite without one."""
    steps_at: float = float("-inf")
    """When this process last noted the steps, UTC seconds."""

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
        board = board_of(new)
        changes = changes_between(self.board, board, with_steps=with_steps)
        lines = [{"at": now, "kind": event.kind.value, "text": event.text, "changes": None} for event in events]
        if changes and not lines:
            lines = [{"at": now, "kind": EventKind.PROGRESS.value, "text": in_words(changes, board), "changes": None}]
        if not lines:
            return self
        lines[-1]["changes"] = changes.to_json() if changes else None
        connection.execute(EVENTS.insert(), lines)
        newest = newest_id(connection)
        return replace(
            self,
            board=fold(self.board, [changes]),
            oldest=_without_oldest(connection, self.oldest, newest),
            newest=newest,
            first_at=min(self.first_at, now),
            steps_at=now if with_steps else self.steps_at,
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
    oldest, newest, first_at = connection.execute(
        select(func.min(EVENTS.c.id), func.max(EVENTS.c.id), func.min(EVENTS.c.at))
    ).one()
    if known is not None and known.newest == (newest or 0):
        return known
    return EventLog(_folded(connection), oldest or 1, newest or 0, first_at or float("inf"))


def read_events(connection: Connection, after: int) -> list[LoggedEvent]:
    """The lines for people with a greater id than `after`, oldest first."""
    columns = (EVENTS.c.id, EVENTS.c.at, EVENTS.c.kind, EVENTS.c.text)
    wanted = (EVENTS.c.id > after, EVENTS.c.kind != EventKind.PROGRESS.value)
    return [LoggedEvent(*row) for row in connection.execute(select(*columns).where(*wanted).order_by(EVENTS.c.id))]


def _folded(connection: Connection, until: int | None = None) -> Board:
    """The board after an event; None: after the last."""
    query = select(EVENTS.c.changes).where(EVENTS.c.changes.is_not(None)).order_by(EVENTS.c.id)
    if until is not None:
        query = query.where(EVENTS.c.id <= until)
    return fold(Board(), map(Changes.from_json, connection.execute(query).scalars()))


def _without_oldest(connection: Connection, oldest: int, newest: int) -> int:
    """Drop the oldest events where there are too many, a hundredth of the log at a time; the id of the oldest left."""
    if newest - oldest + 1 < _MAX_EVENTS + max(1, _MAX_EVENTS // 100):
        return oldest
    first = newest - _MAX_EVENTS + 1
    whole = changes_between(Board(), _folded(connection, until=first), with_steps=True)
    connection.execute(EVENTS.delete().where(EVENTS.c.id < first))
    connection.execute(EVENTS.update().where(EVENTS.c.id == first).values(changes=whole.to_json() if whole else None))
    return first
