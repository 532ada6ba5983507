"""The files of a folder, joined with their metadata on disk: eleven million names do not fit in memory.

Uses a temporary SQLite database, which SQLite keeps in memory while it is small, spills to disk and deletes itself.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from types import TracebackType

from paris.coordinator.prepare.sources.fields import Fields
from paris.coordinator.prepare.sources.tree import SourceFile

_TABLES = """
CREATE TABLE file (path TEXT PRIMARY KEY, version TEXT) WITHOUT ROWID;
CREATE TABLE entry (path TEXT PRIMARY KEY, fields TEXT) WITHOUT ROWID;
"""


class Listing:
    """Files of a source, ordered by path, with their metadata. A context manager that closes the database.

    Args:
        files: All of them, in any order.
    """

    def __init__(self, files: Iterable[SourceFile]) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(_TABLES)
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO file VALUES (?, ?)", ((file.path, file.version) for file in files))

    def __enter__(self) -> Listing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def files(self) -> Iterator[SourceFile]:
        """All files, by path."""
        with contextlib.closing(self._db.execute("SELECT path, version FROM file ORDER BY path")) as rows:
            for path, version in rows:
                yield SourceFile(path, version)

    def version(self, path: str) -> str | None:
        """A file's version; None if there is no such file."""
        row = self._db.execute("SELECT version FROM file WHERE path = ?", (path,)).fetchone()
        return None if row is None else str(row[0])

    def describe(self, entries: Iterable[tuple[str, Fields]]) -> None:
        """Add entries of a metadata file; a later entry of a file replaces an earlier one."""
        rows = ((path, json.dumps(asdict(fields))) for path, fields in entries)
        self._db.executemany("INSERT OR REPLACE INTO entry VALUES (?, ?)", rows)

    def described(self, path: str) -> Fields:
        """The metadata of a file; empty fields if it has no entry."""
        row = self._db.execute("SELECT fields FROM entry WHERE path = ?", (path,)).fetchone()
        return Fields() if row is None else Fields(**json.loads(row[0]))

    def missing(self) -> Iterator[str]:
        """Paths in the metadata without a file."""
        query = "SELECT path FROM entry WHERE path NOT IN (SELECT path FROM file) ORDER BY path"
        for (path,) in self._db.execute(query):
            yield str(path)
