"""The run's state as the page reads it: from a database that is opened read-only.

`Store` would make a missing one and migrate an older one; the page must do neither, beside a running service or
without one.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, Table, func, select
from sqlalchemy import text as plain_sql

from paris.coordinator.page.replay import Replay
from paris.coordinator.run.database import StateLocation
from paris.coordinator.state.event_log import LoggedEvent
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.looking import Looker
from paris.coordinator.state.model import State, SubmissionState
from paris.coordinator.state.row import Row
from paris.coordinator.state.tables import EVENTS, SINGLE, TABLES, in_order

_CURVE = "SELECT step, loss FROM curves WHERE task_id = :task_id ORDER BY id"


@dataclass(frozen=True)
class Snapshot:
    """The state at one moment."""

    number: int
    """Grows with each change that was seen."""
    state: State


class RunReader:
    """Reads a run's state; safe to call from several threads.

    Args:
        location: The database. While it is missing, or of another version than this software's, the state is empty.
    """

    def __init__(self, location: StateLocation) -> None:
        self._lock = threading.Lock()
        self._looker = Looker(location)
        self._seen: int | None = None
        self._rows: dict[str, dict[str, tuple[int, Row]]] = {name: {} for name in TABLES}
        """By table and id: the hash of the row's text, and the row."""
        self._snapshot = Snapshot(0, State())
        self.replay = Replay(self._ask)
        """The run as it was."""

    def snapshot(self) -> Snapshot:
        """The present state; the same object while nothing has changed."""
        with self._lock:
            with self._looker.look() as connection:
                if connection is not None and (seen := self._looker.version(connection)) != self._seen:
                    state = self._load(connection)
                    self._snapshot, self._seen = Snapshot(self._snapshot.number + 1, state), seen
            return self._snapshot

    def curve(self, task_id: str) -> list[tuple[int, float]]:
        """Step and loss of a task."""
        return [(int(step), float(loss)) for step, loss in self._ask(_CURVE, {"task_id": task_id})]

    def events(self, *, kind: str = "", text: str = "", before: int = 0, most: int) -> list[LoggedEvent]:
        """Events of the log, newest first.

        Args:
            kind: Of this kind alone; empty: of all that are for people.
            text: Only those whose text contains it, in any case of ASCII letters.
            before: Only those with a smaller id; 0: from the newest.
            most: At most so many.
        """
        wanted = [EVENTS.c.kind == kind if kind else EVENTS.c.kind != EventKind.PROGRESS.value]
        wanted += [func.lower(EVENTS.c.text).contains(text.lower(), autoescape=True)] if text else []
        wanted += [EVENTS.c.id < before] if before else []
        columns = (EVENTS.c.id, EVENTS.c.at, EVENTS.c.kind, EVENTS.c.text)
        query = select(*columns).where(*wanted).order_by(EVENTS.c.id.desc()).limit(most)
        return [LoggedEvent(*row) for row in self._ask(query, {})]

    def event_counts(self) -> dict[str, int]:
        """How many events of each kind the log holds."""
        counted = select(EVENTS.c.kind, func.count()).group_by(EVENTS.c.kind).order_by(EVENTS.c.kind)
        return dict(map(tuple, self._ask(counted, {})))

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._looker.close()

    def _ask(self, query: str | Select[Any], values: dict[str, Any]) -> list[Any]:
        with self._lock, self._looker.look() as connection:
            if connection is None:
                return []
            return list(connection.execute(plain_sql(query) if isinstance(query, str) else query, values))

    def _load(self, connection: Connection) -> State:
        """Read all tables in one transaction; only rows whose text has changed are parsed."""
        found: dict[str, Any] = {
            name: self._table(connection, name, table, row_class) for name, (table, row_class) in TABLES.items()
        }
        single = {name: found.pop(name).get(name, TABLES[name][1]()) for name in SINGLE}
        return State(**found, **single)

    def _table(self, connection: Connection, name: str, table: Table, row_class: type[Row]) -> Any:
        known, rows = self._rows[name], {}
        for row_id, text in connection.execute(select(table.c.id, table.c.row)):
            digest = hash(text)
            before = known.get(row_id)
            rows[row_id] = before if before is not None and before[0] == digest else (digest, _parsed(row_class, text))
        self._rows[name] = rows
        return in_order(name, {row_id: row for row_id, (_, row) in rows.items()})


def _parsed(row_class: type[Row], text: str) -> Row:
    row = row_class.model_validate_json(text)
    # The signed record is most of a submission's size, and no page shows it.
    return row.model_copy(update={"envelope": ""}) if isinstance(row, SubmissionState) else row
