"""Rows of folders, each stored whole or as changes to an earlier state of the same folder.

A commit changes few files of a folder, so its row is small. State n is stored as changes to state n & (n - 1), of which
a reader needs at most log2(n): all n states take n log2(n) / 2 changed rows, instead of the n^2 / 2 of whole ones.
Source: skip-deltas of Subversion, https://svn.apache.org/repos/asf/subversion/trunk/notes/skip-deltas.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Row = list[Any]
"""[name, git oid, bytes, sha256, is_lfs] of a file; [name, oid] of a folder."""


@dataclass(frozen=True, slots=True)
class StoredFolder:
    """A folder as it is stored: changed rows and removed names of a base, or all rows."""

    rows: list[Row]
    gone: list[str] = field(default_factory=list)
    base: str | None = None
    step: int = 0
    """Number of the state; 0 for a whole one."""

    def text(self) -> str:
        """The stored JSON."""
        whole = self.base is None
        data = self.rows if whole else {"base": self.base, "step": self.step, "rows": self.rows, "gone": self.gone}
        return json.dumps(data, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder with all its rows, by name."""

    rows: dict[str, Row]
    chain: list[tuple[str, StoredFolder]]
    """Oid and stored form of the folder, its base, the base's base, ..."""


def read_stored(db: sqlite3.Connection, repo_id: int, oid: str) -> StoredFolder:
    """A folder as it is stored; empty if it is absent."""
    row = db.execute("SELECT entries FROM trees WHERE repo = ? AND oid = ?", (repo_id, oid)).fetchone()
    data = json.loads(row["entries"]) if row else []
    return StoredFolder(data) if isinstance(data, list) else StoredFolder(**data)


def _chain(db: sqlite3.Connection, repo_id: int, oid: str | None) -> Iterator[tuple[str, StoredFolder]]:
    """A folder as it is stored, its base, the base's base, ..., each read when it is asked for."""
    while oid is not None:
        stored = read_stored(db, repo_id, oid)
        yield oid, stored
        oid = stored.base


def read_folder(db: sqlite3.Connection, repo_id: int, oid: str | None) -> Folder:
    """A folder with all its rows; empty for None."""
    chain = list(_chain(db, repo_id, oid))
    rows: dict[str, Row] = {}
    for _, stored in reversed(chain):
        for name in stored.gone:
            rows.pop(name, None)
        rows.update((row[0], row) for row in stored.rows)
    return Folder(rows, chain)


def insert_folder(
    db: sqlite3.Connection, repo_id: int, oid: str, rows: dict[str, Row], before: str | None, changed: set[str]
) -> None:
    """Store a folder, unless it is stored.

    Args:
        db: A write transaction.
        repo_id: The repository.
        oid: sha1 of the folder's git tree.
        rows: All its rows.
        before: An earlier state; None for a new folder.
        changed: Names of rows that `before` does not have, or has otherwise.
    """
    names, step, base = set(changed), 0, None
    for state, stored in _chain(db, repo_id, before):
        step = step or stored.step + 1
        # The chain of state n - 1 contains state n & (n - 1), unless bases were deleted.
        if stored.step <= step & (step - 1):
            base = state
            break
        names.update(stored.gone, (row[0] for row in stored.rows))
    text = _changes_to(base, names, rows, step).text()
    db.execute("INSERT OR IGNORE INTO trees VALUES (?, ?, ?)", (repo_id, oid, text))


def move_to_base(db: sqlite3.Connection, repo_id: int, folder: Folder, kept: set[str]) -> str | None:
    """Store a folder as changes to the nearest of its bases that is kept; return that base, None if there is none."""
    oid, stored = folder.chain[0]
    names: set[str] = set()
    base = None
    for index, (state, changes) in enumerate(folder.chain):
        if index and state in kept:
            base = state
            break
        names.update(changes.gone, (row[0] for row in changes.rows))
    moved = _changes_to(base, names, folder.rows, stored.step)
    db.execute("UPDATE trees SET entries = ? WHERE repo = ? AND oid = ?", (moved.text(), repo_id, oid))
    return moved.base


def _changes_to(base: str | None, names: set[str], rows: dict[str, Row], step: int) -> StoredFolder:
    """Rows as changes to a base, from which they differ in `names` at most; whole if that is not larger."""
    if base is not None and 2 * len(names) < len(rows):
        present = [rows[name] for name in sorted(names) if name in rows]
        return StoredFolder(present, sorted(names - rows.keys()), base, step)
    return StoredFolder(list(rows.values()))
