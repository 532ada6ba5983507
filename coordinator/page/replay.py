"""The run as it was at any event: the fold of the log's changes until then."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paris.coordinator.state.boards import Board
from paris.coordinator.state.changes import Changes, fold

_KEPT_EVERY = 2000
"""Of so many events with changes one board is kept: a board in between costs as many steps at most."""
_FIRST = "SELECT id, at FROM events ORDER BY id LIMIT 1"
_NEW = "SELECT id, at, changes FROM events WHERE id > ? AND changes IS NOT NULL ORDER BY id"
_SOME = "SELECT changes FROM events WHERE id > ? AND id <= ? AND changes IS NOT NULL ORDER BY id"
Ask = Callable[[str, tuple[Any, ...]], list[Any]]


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
    """Folds the log, of which it reads each event once; safe to call from several threads.

    Args:
        ask: Runs a query on the database, with its values.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._forget(None)

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
            return self._moment(bisect_right(self._ids, event_id) - 1)

    def at_time(self, at: float) -> Moment | None:
        """The run at a time, UTC seconds; before the first event, after that. None: no event."""
        with self._lock:
            self._read_on()
            return self._moment(bisect_right(self._times, at) - 1)

    def _forget(self, first: tuple[int, float] | None) -> None:
        self._first = first
        self._ids: list[int] = []
        self._times: list[float] = []
        """Of the events; one whose clock was set back counts as at the time of the one before."""
        self._kept = [Board()]
        """Before the first event, and after each `_KEPT_EVERY`."""
        self._last = Board()

    def _read_on(self) -> None:
        """Take in the events that are new; anew where the oldest were dropped."""
        found = self._ask(_FIRST, ())
        first = (int(found[0][0]), float(found[0][1])) if found else None
        if first != self._first:
            self._forget(first)
        for event_id, at, changes in self._ask(_NEW, (self._ids[-1] if self._ids else 0,)):
            self._last = fold(self._last, [Changes.from_json(changes)])
            self._ids.append(event_id)
            self._times.append(max(at, self._times[-1]) if self._times else at)
            if len(self._ids) % _KEPT_EVERY == 0:
                self._kept.append(self._last)

    def _moment(self, place: int) -> Moment | None:
        if not self._ids:
            return None
        place = max(0, place)
        begun = (place + 1) // _KEPT_EVERY
        since = self._ids[begun * _KEPT_EVERY - 1] if begun else 0
        rows = self._ask(_SOME, (since, self._ids[place]))
        return Moment(
            event_id=self._ids[place],
            at=self._times[place],
            board=fold(self._kept[begun], (Changes.from_json(changes) for (changes,) in rows)),
            before=self._ids[place - 1] if place > 0 else 0,
            after=self._ids[place + 1] if place + 1 < len(self._ids) else 0,
        )
