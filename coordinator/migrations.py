"""SQLite files that outlive a version of the software.

A file keeps its version in `PRAGMA user_version`. An older file is copied to `NAME.vN.bak` and then migrated in one
transaction; a newer one is refused, unchanged. A table or a field of a row that is new needs a new version, so that
older software refuses the file instead of misreading it.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from paris.coordinator.errors import DatabaseError
from paris.experts.files import whole_file
from paris.protocol.errors import NewerFileError
from paris.protocol.version import UPGRADE

logger = logging.getLogger(__name__)
Migration = str | Callable[[sqlite3.Connection], None]
"""An SQL script without transactions, or what does the work of one; empty where only tables are new."""
_BUSY_S = 30.0
FIRST_VERSION = 1
"""Of files that were made before versions were kept."""


def migrate(path: Path, version: int, migrations: Mapping[int, Migration]) -> None:
    """Bring a database file to a version; a missing or empty file is left to its owner.

    Args:
        path: The file; no other process of an older version uses it.
        version: The version that this software reads and writes.
        migrations: For each older version n what leads to n + 1.

    Raises:
        NewerFileError: A newer version wrote the file; it is unchanged.
        DatabaseError: The file is no database, or the migration failed; it is unchanged.
        DiskFullError: No space for the backup; the file is unchanged.
    """
    if not path.exists() or path.stat().st_size == 0:
        return
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)) as db:
            _migrate(db, path, version, migrations)
    except sqlite3.Error as error:
        raise DatabaseError(
            f"{path} cannot be opened: {error}.", f"Restore it from a copy, such as {path}.v*.bak if there is one."
        ) from error


def is_older(path: Path, version: int) -> bool:
    """Whether `migrate` would change this file."""
    if not path.exists() or path.stat().st_size == 0:
        return False
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_S)) as db:
            return _version(db) < version
    except sqlite3.Error:
        return False  # `migrate` names the problem


def stamp(path: Path, version: int) -> None:
    """Write the version into a file that was just made; a file with a version keeps it."""
    with closing(sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)) as db:
        if db.execute("PRAGMA user_version").fetchone()[0] == 0:
            db.execute(f"PRAGMA user_version = {version}")


def _migrate(db: sqlite3.Connection, path: Path, version: int, migrations: Mapping[int, Migration]) -> None:
    found = _version(db)
    if found > version:
        raise NewerFileError(
            f"{path} was written by a newer version of this software (format {found}, this one knows {version}).",
            f"{UPGRADE} The file is unchanged.",
        )
    if found == version:
        return
    _back_up(db, path.with_name(f"{path.name}.v{found}.bak"))
    db.execute("BEGIN IMMEDIATE")
    try:
        for step in range(_version(db), version):  # another process may have migrated it while this one waited
            _carry_out(db, migrations[step])
        db.execute(f"PRAGMA user_version = {version}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    logger.info("Migrated %s from format %d to %d.", path, found, version)


def _carry_out(db: sqlite3.Connection, migration: Migration) -> None:
    if callable(migration):
        migration(db)
        return
    for statement in filter(str.strip, migration.split(";")):
        db.execute(statement)


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0]) or FIRST_VERSION


def _back_up(db: sqlite3.Connection, target: Path) -> None:
    """Copy the database, with what its WAL holds."""
    with whole_file(target) as partial:
        partial.touch(0o600)
        with closing(sqlite3.connect(partial)) as copy:
            db.backup(copy)
