"""The Hub's database: one SQLite file in WAL mode, one writer at a time, a pool of readers.

repos        kind/owner/name, visibility
refs         refs/heads/*, refs/tags/*, refs/pr/N -> commit
commits      40-hex commit -> parent, tree, author, message
trees        40-hex git tree -> its entries as JSON (folders.py), shared by all commits with the same folder
repo_blobs   contents that a repository refers to; its readers may commit them elsewhere
uploads      contents that a user uploaded and no commit refers to
discussions, events   discussions and pull requests
pull_contents contents that a user added to a pull request, until it is merged or its commits are deleted
users        registered volunteers: sha256 of the token -> name
traffic      bytes by user, repository and part
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from paris.coordinator.migrations import migrate

SCHEMA_VERSION = 2
"""2: a row of `trees` may be the changes to another (folders.py); a row of version 1 is read as it is."""
_MIGRATIONS = {1: ""}  # nothing to convert
_IDLE_READERS = 8

_SCHEMA = """
CREATE TABLE IF NOT EXISTS repos (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, owner TEXT NOT NULL, name TEXT NOT NULL,
    private INTEGER NOT NULL, created_at REAL NOT NULL, UNIQUE (kind, owner, name));
CREATE TABLE IF NOT EXISTS refs (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE, name TEXT NOT NULL, oid TEXT NOT NULL,
    PRIMARY KEY (repo, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS commits (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE, oid TEXT NOT NULL, parent TEXT, tree TEXT NOT NULL,
    author TEXT NOT NULL, title TEXT NOT NULL, message TEXT NOT NULL, created_at REAL NOT NULL,
    PRIMARY KEY (repo, oid)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trees (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE, oid TEXT NOT NULL, entries TEXT NOT NULL,
    PRIMARY KEY (repo, oid));
CREATE TABLE IF NOT EXISTS repo_blobs (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE, sha256 TEXT NOT NULL,
    PRIMARY KEY (repo, sha256)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS repo_blobs_by_content ON repo_blobs (sha256);
CREATE TABLE IF NOT EXISTS uploads (
    sha256 TEXT NOT NULL, user TEXT NOT NULL, size INTEGER NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (sha256, user)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS discussions (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE, num INTEGER NOT NULL, title TEXT NOT NULL,
    author TEXT NOT NULL, status TEXT NOT NULL, is_pull_request INTEGER NOT NULL, base_ref TEXT, base_oid TEXT,
    merge_oid TEXT, created_at REAL NOT NULL, PRIMARY KEY (repo, num)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE,
    num INTEGER NOT NULL, type TEXT NOT NULL, author TEXT NOT NULL, data TEXT NOT NULL, created_at REAL NOT NULL);
CREATE INDEX IF NOT EXISTS events_by_discussion ON events (repo, num);
CREATE INDEX IF NOT EXISTS events_by_author ON events (author);
CREATE TABLE IF NOT EXISTS pull_contents (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE, num INTEGER NOT NULL, sha256 TEXT NOT NULL,
    user TEXT NOT NULL, size INTEGER NOT NULL, PRIMARY KEY (repo, num, sha256)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pull_contents_by_user ON pull_contents (user);
CREATE TABLE IF NOT EXISTS users (
    token_sha256 TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS traffic (
    user TEXT NOT NULL, repo TEXT NOT NULL, part TEXT NOT NULL, received INTEGER NOT NULL, sent INTEGER NOT NULL,
    PRIMARY KEY (user, repo, part)) WITHOUT ROWID;
"""


def contents_named(database: Path) -> set[str]:
    """The sha256 of all contents that the repositories of a database refer to."""
    with contextlib.closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        return {sha256 for (sha256,) in connection.execute("SELECT DISTINCT sha256 FROM repo_blobs")}


class Store:
    """Connections to the database file.

    Args:
        path: The database file; made if missing, migrated if older.

    Raises:
        NewerFileError: A newer version wrote the file; it is unchanged.
        DatabaseError: The file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._idle_lock = threading.Lock()
        self._write_lock = threading.Lock()
        migrate(path, SCHEMA_VERSION, _MIGRATIONS)
        self._writer = self._open()
        self._writer.executescript("PRAGMA journal_mode = WAL;" + _SCHEMA)
        self._writer.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _open(self) -> sqlite3.Connection:
        # isolation_level=None: only `write` begins and ends transactions, never the sqlite3 module.
        db = sqlite3.connect(self._path, timeout=30, isolation_level=None, check_same_thread=False)
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA synchronous = FULL")
        return db

    # Readers are pooled, not one for each thread: the server's threads come and go.
    def borrow_reader(self) -> sqlite3.Connection:
        """A connection for reading outside of a transaction, for one thread at a time, until `return_reader`."""
        with self._idle_lock:
            if self._idle:
                return self._idle.pop()
        return self._open()

    def return_reader(self, db: sqlite3.Connection) -> None:
        """Let other requests use the connection."""
        with self._idle_lock:
            if len(self._idle) < _IDLE_READERS:
                self._idle.append(db)
                return
        db.close()

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection for reading outside of a transaction."""
        db = self.borrow_reader()
        try:
            yield db
        finally:
            self.return_reader(db)

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One atomic transaction. Not re-entrant: functions that run inside take the connection as an argument."""
        with self._write_lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")

    def close(self) -> None:
        """Close all connections; the store must not be used afterwards."""
        with self._write_lock, self._idle_lock:
            for db in [self._writer, *self._idle]:
                db.close()
            self._idle.clear()
