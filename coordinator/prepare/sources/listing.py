"""A folder's list of files and its metadata, joined on disk: eleven million names are not held in memory.

A temporary SQLite database, which the library keeps in memory while it is small, spills to disk and deletes by itself.
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
    """Files of a source, in the order of their paths, and what metadata files say of them. A context.

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
        """A file's version; None where there is no such file."""
        row = self._db.execute("SELECT version FROM file WHERE path = ?", (path,)).fetchone()
        return None if row is None else str(row[0])

    def describe(self, entries: Iterable[tuple[str, Fields]]) -> None:
        """Note what a metadata file says of files; a later word of one file replaces an earlier one."""
        rows = ((path, json.dumps(asdict(fields))) for path, fields in entries)
        self._db.executemany("INSERT OR REPLACE INTO entry VALUES (?, ?)", rows)

    def described(self, path: str) -> Fields:
        """What the metadata says of a file; nothing, where it does not name it."""
        row = self._db.execute("SELECT fields FROM entry WHERE path = ?", (path,)).fetchone()
        return Fields() if row is None else Fields(**json.loads(row[0]))

    def missing(self) -> Iterator[str]:
        """Paths that the metadata names and the list of files does not."""
        query = "SELECT path FROM entry WHERE path NOT IN (SELECT path FROM file) ORDER BY path"
        for (path,) in self._db.execute(query):
            yield str(path)
