"""The run's state as the page reads it: from state.sqlite, opened read-only.

`Store` would make a missing file and migrate an older one; the page must do neither, beside a running service or
without one.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paris.coordinator.page.replay import Replay
from paris.coordinator.state.event_log import LoggedEvent
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.model import State, SubmissionState
from paris.coordinator.state.row import Row
from paris.coordinator.state.store import VERSION
from paris.coordinator.state.tables import SINGLE, TABLES

_BUSY_S = 10.0
_CURVE = (
    "SELECT step, loss FROM curves WHERE task_id = ?1 AND attempt = "
    "(SELECT max(attempt) FROM curves WHERE task_id = ?1) ORDER BY id"
)


@dataclass(frozen=True)
class Snapshot:
    """The state at one moment."""

    number: int
    """Grows with each change that was seen."""
    state: State


class RunReader:
    """Reads a run's state; safe to call from several threads.

    Args:
        path: The SQLite file. While it is missing, or of another version than this software's, the state is empty.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._seen: int | None = None
        self._rows: dict[str, dict[str, tuple[int, Row]]] = {name: {} for name in TABLES}
        """By table and id: the hash of the row's text, and the row."""
        self._snapshot = Snapshot(0, State())
        self.replay = Replay(self._ask)
        """The run as it was."""

    def snapshot(self) -> Snapshot:
        """The present state; the same object while nothing has changed."""
        with self._lock:
            db = self._opened()
            if db is None:
                return self._snapshot
            seen = int(db.execute("PRAGMA data_version").fetchone()[0])
            if seen != self._seen:
                state = self._load(db)
                self._snapshot, self._seen = Snapshot(self._snapshot.number + 1, state), seen
            return self._snapshot

    def curve(self, task_id: str) -> list[tuple[int, float]]:
        """Step and loss of a task's last attempt."""
        return [(int(step), float(loss)) for step, loss in self._ask(_CURVE, (task_id,))]

    def events(self, *, kind: str = "", text: str = "", before: int = 0, most: int) -> list[LoggedEvent]:
        """Events of the log, newest first.

        Args:
            kind: Of this kind alone; empty: of all that are for people.
            text: Only those whose text contains it, in any case of ASCII letters.
            before: Only those with a smaller id; 0: from the newest.
            most: At most so many.
        """
        query = (
            "SELECT id, at, kind, text FROM events WHERE (kind = ?1 OR ?1 = '' AND kind != ?2)"
            " AND (?3 = '' OR instr(lower(text), ?3)) AND (?4 = 0 OR id < ?4) ORDER BY id DESC LIMIT ?5"
        )
        return [
            LoggedEvent(*row) for row in self._ask(query, (kind, EventKind.PROGRESS.value, text.lower(), before, most))
        ]

    def event_counts(self) -> dict[str, int]:
        """How many events of each kind the log holds."""
        return dict(self._ask("SELECT kind, count(*) FROM events GROUP BY kind ORDER BY kind", ()))

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _ask(self, query: str, values: tuple[Any, ...]) -> list[Any]:
        with self._lock:
            db = self._opened()
            return [] if db is None else db.execute(query, values).fetchall()

    def _opened(self) -> sqlite3.Connection | None:
        if self._db is None and self._path.is_file():
            db = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S, check_same_thread=False
            )
            if _version(db) == VERSION:
                self._db = db
            else:
                db.close()
        return self._db

    def _load(self, db: sqlite3.Connection) -> State:
        """Read all tables in one transaction; only rows whose text has changed are parsed."""
        db.execute("BEGIN")
        try:
            found: dict[str, Any] = {name: self._table(db, name, row_class) for name, (_, row_class) in TABLES.items()}
        finally:
            db.execute("COMMIT")
        single = {name: found.pop(name).get(name, TABLES[name][1]()) for name in SINGLE}
        return State(**found, **single)

    def _table(self, db: sqlite3.Connection, name: str, row_class: type[Row]) -> Any:
        known, rows = self._rows[name], {}
        for row_id, text in db.execute(f"SELECT id, row FROM {name}"):  # the names are our own
            digest = hash(text)
            before = known.get(row_id)
            rows[row_id] = before if before is not None and before[0] == digest else (digest, _parsed(row_class, text))
        self._rows[name] = rows
        return {row_id: row for row_id, (_, row) in rows.items()}


def _parsed(row_class: type[Row], text: str) -> Row:
    row = row_class.model_validate_json(text)
    # The signed record is most of a submission's size, and no page shows it.
    return row.model_copy(update={"envelope": ""}) if isinstance(row, SubmissionState) else row


def _version(db: sqlite3.Connection) -> int:
    with suppress(sqlite3.Error):  # being made at this moment
        return int(db.execute("PRAGMA user_version").fetchone()[0])
    return 0
