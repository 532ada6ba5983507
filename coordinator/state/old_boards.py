"""The history of runs of formats before 11, which kept copies of the board: taken into the events as changes."""

from __future__ import annotations

import json
import re
import sqlite3
import zlib
from contextlib import suppress
from typing import Any

from paris.coordinator.state.boards import Board, BoardRow
from paris.coordinator.state.changes import changes_between


def with_changes(db: sqlite3.Connection) -> None:
    """Give the events room for changes, and the last event before each copy those that lead to that copy.

    The log is as exact as the copies were: of several copies between two events the last counts, and events before the
    first copy change nothing.

    Args:
        db: In a transaction.
    """
    if "changes" not in {row[1] for row in db.execute("PRAGMA table_info(events)")}:
        db.execute("ALTER TABLE events ADD COLUMN changes TEXT")
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'boards'").fetchone():
        return
    before = Board()
    for event_id, board in sorted(_copies(db).items()):
        changes = changes_between(before, board, with_steps=True)
        db.execute("UPDATE events SET changes = ? WHERE id = ?", (changes.to_json(), event_id))
        before = board
    db.execute("DROP TABLE boards")


def _copies(db: sqlite3.Connection) -> dict[int, Board]:
    """The copies by the last event before each."""
    found = {}
    for at, data in db.execute("SELECT at, board FROM boards ORDER BY at").fetchall():
        (event_id,) = db.execute("SELECT max(id) FROM events WHERE at <= ?", (at,)).fetchone()
        with suppress(ValueError, KeyError, TypeError, zlib.error):  # what cannot be read is left out
            if event_id is not None:
                found[event_id] = _board(json.loads(zlib.decompress(data)))
    return found


def _board(copy: dict[str, Any]) -> Board:
    rows = [BoardRow(**{"cluster": _cluster(row["task_id"]), **row}) for row in copy["tasks"]]
    return Board(tasks={row.task_id: row for row in rows})


def _cluster(task_id: str) -> int:
    """The cluster of "expert-3.1": 3."""
    number = re.search(r"\d+", task_id)
    return 0 if number is None else int(number.group())
