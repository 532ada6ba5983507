"""The files of a folder, joined with their metadata on disk: eleven million names do not fit in memory.

Uses a temporary SQLite database, which SQLite keeps in memory while it is small, spills to disk and deletes itself.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from types import TracebackType
from typing import Any

from paris.coordinator.prepare.rows.drops import Dropped
from paris.coordinator.prepare.sources.fields import Fields
from paris.coordinator.prepare.sources.tree import SourceFile

_TABLES = """
CREATE TABLE file (path TEXT PRIMARY KEY, version TEXT) WITHOUT ROWID;
CREATE TABLE composed (path TEXT PRIMARY KEY, written TEXT) WITHOUT ROWID;
CREATE TABLE entry (path TEXT PRIMARY KEY, fields TEXT) WITHOUT ROWID;
CREATE TABLE used (path TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE excluded (path TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class Listing:
    """Files of a source, ordered by path, with their metadata. A context manager that closes the database."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(_TABLES)
        self._db.execute("BEGIN")

    def __enter__(self) -> Listing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def add(self, file: SourceFile) -> None:
        """Add one file."""
        self._db.execute("INSERT INTO file VALUES (?, ?)", (file.path, file.version))
        if not unicodedata.is_normalized("NFC", file.path):
            composed = unicodedata.normalize("NFC", file.path)
            self._db.execute("INSERT OR IGNORE INTO composed VALUES (?, ?)", (composed, file.path))

    def exclude(self, path: str) -> None:
        """Add a file that is dropped already, so that it is not missing."""
        self._db.execute("INSERT OR IGNORE INTO excluded VALUES (?)", (path.encode("utf-8", "replace").decode(),))

    def files(self) -> Iterator[SourceFile]:
        """All files, by path."""
        with contextlib.closing(self._db.execute("SELECT path, version FROM file ORDER BY path")) as rows:
            for path, version in rows:
                yield SourceFile(path, version)

    def find(self, path: str) -> str | None:
        """The file of this name, which may be written in the other Unicode normal form; None if there is none.

        Apple's systems wrote names decomposed (NFD), so copied pictures and their captions may differ in it.
        """
        exact = self._db.execute("SELECT path FROM file WHERE path = ?", (path,)).fetchone()
        if exact is not None or path.isascii():
            return None if exact is None else path
        composed = unicodedata.normalize("NFC", path)
        query = """SELECT path FROM file WHERE path = ? UNION ALL SELECT written FROM composed WHERE path = ?"""
        row = self._db.execute(query, (composed, composed)).fetchone()
        return None if row is None else str(row[0])

    def describe(self, entries: Iterable[tuple[str, Fields] | Dropped]) -> Iterator[Dropped]:
        """Add entries of a metadata file, and return the dropped ones; a later entry of a file replaces an earlier."""
        for entry in entries:
            if isinstance(entry, Dropped):
                yield entry
            else:
                row = (self.find(entry[0]) or entry[0], json.dumps(asdict(entry[1])))
                self._db.execute("INSERT OR REPLACE INTO entry VALUES (?, ?)", row)

    def described(self, path: str) -> Fields:
        """The metadata of a file; empty fields if it has no entry."""
        row = self._db.execute("SELECT fields FROM entry WHERE path = ?", (path,)).fetchone()
        raw: dict[str, Any] = {} if row is None else json.loads(row[0])
        raw |= {name: tuple(value) for name, value in raw.items() if isinstance(value, list)}
        return Fields(**raw)

    def use(self, path: str) -> None:
        """Mark a file as part of a row."""
        self._db.execute("INSERT OR IGNORE INTO used VALUES (?)", (path,))

    def unused(self) -> Iterator[str]:
        """Paths of the files that are part of no row."""
        for (path,) in self._db.execute(
            "SELECT path FROM file WHERE path NOT IN (SELECT path FROM used) ORDER BY path"
        ):
            yield str(path)

    def missing(self) -> Iterator[str]:
        """Paths in the metadata without a file."""
        query = """SELECT path FROM entry WHERE path NOT IN (SELECT path FROM file)
                   AND path NOT IN (SELECT path FROM excluded) ORDER BY path"""
        for (path,) in self._db.execute(query):
            yield str(path)
