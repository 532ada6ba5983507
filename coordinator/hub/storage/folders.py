"""Rows of folders, each stored whole or as changes to an earlier state of the same folder.

A commit changes few files of a folder, so its row is small. State n is stored as changes to state n & (n - 1), of which
a reader needs at most log2(n): all n states take n log2(n) / 2 changed rows, instead of the n^2 / 2 of whole ones.
Source: skip-deltas of Subversion, https://svn.apache.org/repos/asf/subversion/trunk/notes/skip-deltas.
"""

from __future__ import annotations

import json
import sqlite3
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


def read_folder(db: sqlite3.Connection, repo_id: int, oid: str | None) -> Folder:
    """A folder with all its rows; empty for None."""
    chain: list[tuple[str, StoredFolder]] = []
    while oid is not None:
        stored = read_stored(db, repo_id, oid)
        chain.append((oid, stored))
        oid = stored.base
    rows: dict[str, Row] = {}
    for _, stored in reversed(chain):
        for name in stored.gone:
            rows.pop(name, None)
        rows.update((row[0], row) for row in stored.rows)
    return Folder(rows, chain)


def insert_folder(
    db: sqlite3.Connection, repo_id: int, oid: str, rows: dict[str, Row], before: Folder, changed: set[str]
) -> None:
    """Store a folder, unless it is stored.

    Args:
        db: A write transaction.
        repo_id: The repository.
        oid: sha1 of the folder's git tree.
        rows: All its rows.
        before: An earlier state; empty for a new folder.
        changed: Names of rows that `before` does not have, or has otherwise.
    """
    step = before.chain[0][1].step + 1 if before.chain else 0
    # The chain of state n - 1 contains state n & (n - 1), unless bases were deleted.
    index = next((i for i, (_, stored) in enumerate(before.chain) if stored.step <= step & (step - 1)), None)
    stored = _changes_to(before, index, rows, changed, step)
    db.execute("INSERT OR IGNORE INTO trees VALUES (?, ?, ?)", (repo_id, oid, stored.text()))


def move_to_base(db: sqlite3.Connection, repo_id: int, folder: Folder, kept: set[str]) -> str | None:
    """Store a folder as changes to the nearest of its bases that is kept; return that base, None if there is none."""
    oid, stored = folder.chain[0]
    index = next((i for i, (base, _) in enumerate(folder.chain) if i and base in kept), None)
    moved = _changes_to(folder, index, folder.rows, set(), stored.step)
    db.execute("UPDATE trees SET entries = ? WHERE repo = ? AND oid = ?", (moved.text(), repo_id, oid))
    return moved.base


def _changes_to(before: Folder, index: int | None, rows: dict[str, Row], changed: set[str], step: int) -> StoredFolder:
    """Rows as changes to an element of the chain of `before`; whole if there is none, or if that is not larger."""
    if index is not None:
        names = set(changed)
        for _, stored in before.chain[:index]:
            names.update(stored.gone, (row[0] for row in stored.rows))
        if 2 * len(names) < len(rows):
            present = [rows[name] for name in sorted(names) if name in rows]
            return StoredFolder(present, sorted(names - rows.keys()), before.chain[index][0], step)
    return StoredFolder(list(rows.values()))
