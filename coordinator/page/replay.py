"""The run as it was at any event: the fold of the log's changes until then."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from paris.coordinator.state.boards import Board
from paris.coordinator.state.changes import Changes, fold

_KEPT_EVERY = 2000
"""Of so many events with changes one board is kept: a board in between costs about as many steps at most."""
_FIRST = "SELECT id, at FROM events ORDER BY id LIMIT 1"
_NEW = "SELECT id, at, changes FROM events WHERE id > :after AND changes IS NOT NULL ORDER BY id"
_SOME = "SELECT id, changes FROM events WHERE id > :after AND id <= :until AND changes IS NOT NULL ORDER BY id"
_LISTED = "SELECT id, at FROM events WHERE id <= :until AND changes IS NOT NULL ORDER BY id"
Ask = Callable[[str, dict[str, Any]], list[Any]]


@dataclass(frozen=True)
class Moment:
    """The run after an event."""

    event_id: int
    at: float
    """UTC seconds."""
    board: Board
    before: int
    """Id of the last event before it that changed the board; 0 for the first."""
    after: int
    """Id of the next; 0 for the last."""


class Replay:
    """Folds the log, of which it reads each event's changes once, and again those near an event that is asked for.

    Safe to call from several threads.

    Args:
        ask: Runs a query on the database, with its values.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._first: tuple[int, float] | None = None
        self._forget()

    def span(self) -> tuple[float, float] | None:
        """Times of the first and the last event that changed the board, UTC seconds; None: there is none."""
        with self._lock:
            self._read_on()
            return (self._times[0], self._times[-1]) if self._ids else None

    def starts_late(self) -> bool:
        """Whether the log begins with events of an earlier version, which do not say what they changed."""
        with self._lock:
            self._read_on()
            return self._first is not None and bool(self._times) and self._first[1] < self._times[0]

    def at_event(self, event_id: int) -> Moment | None:
        """The run after an event; of one that changed nothing, after the last before it that did. None: no event."""
        with self._lock:
            self._read_on()
            return self._moment(lambda: bisect_right(self._ids, event_id) - 1)

    def at_time(self, at: float) -> Moment | None:
        """The run at a time, UTC seconds; before the first event, after that. None: no event."""
        with self._lock:
            self._read_on()
            return self._moment(lambda: bisect_right(self._times, at) - 1)

    def _forget(self) -> None:
        self._ids: list[int] = []
        self._times: list[float] = []
        """Of the events; one whose clock was set back counts as at the time of the one before."""
        self._kept = [(0, Board())]
        """Boards, each with the id of the last event in it."""
        self._last = Board()

    def _read_on(self) -> None:
        """Take in the events that are new; list the others again where the oldest were dropped."""
        found = self._ask(_FIRST, {})
        first = (int(found[0][0]), float(found[0][1])) if found else None
        if first != self._first:
            self._first = first
            self._list_again()
        rows = self._ask(_NEW, {"after": self._ids[-1] if self._ids else 0})
        while rows:
            room = max(1, _KEPT_EVERY - self._number(self._kept[-1][0], None))
            some, rows = rows[:room], rows[room:]
            self._last = fold(self._last, (Changes.from_json(changes) for _, _, changes in some))
            self._note((event_id, at) for event_id, at, _ in some)
            if self._number(self._kept[-1][0], None) >= _KEPT_EVERY:
                self._kept.append((self._ids[-1], self._last))

    def _note(self, events: Iterable[tuple[int, float]]) -> None:
        for event_id, at in events:
            self._ids.append(event_id)
            self._times.append(max(at, self._times[-1]) if self._times else at)

    def _list_again(self) -> None:
        """Drop the ids of events that are gone, and boards that are too near to each other then.

        What a dropped event changed is in the next: the boards of all other events are as they were.
        """
        last, kept, whole = self._ids[-1] if self._ids else 0, self._kept[1:], self._last
        events = self._ask(_LISTED, {"until": last})
        self._forget()
        if not events or events[-1][0] != last:
            return
        self._note(events)
        self._last = whole
        for (until, board), (following, _) in pairwise([*kept, (last, whole)]):
            # The first event's changes lead from an empty board alone.
            if until >= self._ids[0] and self._number(self._kept[-1][0], following) > _KEPT_EVERY:
                self._kept.append((until, board))

    def _number(self, after: int, until: int | None) -> int:
        """How many events there are after an id, until another; None: until the last."""
        end = len(self._ids) if until is None else bisect_right(self._ids, until)
        return end - bisect_right(self._ids, after)

    def _moment(self, place_of: Callable[[], int]) -> Moment | None:
        """The run after an event.

        Args:
            place_of: Finds its place in the list; -1: before the first.
        """
        while self._ids:
            place = max(0, place_of())
            since, board = self._kept[bisect_right(self._kept, self._ids[place], key=lambda kept: kept[0]) - 1]
            rows = self._ask(_SOME, {"after": since, "until": self._ids[place]})
            if [event_id for event_id, _ in rows] == self._ids[bisect_right(self._ids, since) : place + 1]:
                return Moment(
                    event_id=self._ids[place],
                    at=self._times[place],
                    board=fold(board, (Changes.from_json(changes) for _, changes in rows)),
                    before=self._ids[place - 1] if place > 0 else 0,
                    after=self._ids[place + 1] if place + 1 < len(self._ids) else 0,
                )
            self._list_again()  # some were dropped in between
            self._read_on()
        return None
