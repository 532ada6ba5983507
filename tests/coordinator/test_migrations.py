"""SQLite files of other versions: older ones are migrated after a backup, newer ones refused untouched."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing

import pytest

from paris.coordinator.errors import DatabaseError, RunDirError
from paris.coordinator.hub.storage.store import SCHEMA_VERSION
from paris.coordinator.hub.storage.store import Store as HubStore
from paris.coordinator.migrations import migrate
from paris.coordinator.run.create import create_run
from paris.coordinator.run.locks import serve_lock
from paris.coordinator.state.reading import read_state
from paris.coordinator.state.store import VERSION, Store
from paris.protocol.errors import NewerFileError

ADD_COLUMN = {1: "ALTER TABLE t ADD COLUMN b TEXT; UPDATE t SET b = 'new'", 2: "CREATE INDEX by_b ON t (b)"}


@pytest.fixture
def old(tmp_path):
    """A database of version 1 with one row, half of which is in its WAL."""
    path = tmp_path / "x.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.executescript("PRAGMA journal_mode=WAL; CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('kept');")
    return path


def rows(path, query="SELECT * FROM t"):
    with closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


def test_an_older_file_is_migrated_step_by_step_after_a_backup(old):
    migrate(old, 3, ADD_COLUMN)
    assert rows(old) == [("kept", "new")]
    assert rows(old, "PRAGMA user_version") == [(3,)]
    backup = old.with_name("x.sqlite.v1.bak")
    assert rows(backup) == [("kept",)]
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    before = backup.stat().st_mtime_ns
    migrate(old, 3, ADD_COLUMN)
    assert backup.stat().st_mtime_ns == before


def test_a_migration_that_fails_changes_nothing(old):
    with pytest.raises(DatabaseError, match="no such table"):
        migrate(old, 3, {1: "ALTER TABLE t ADD COLUMN b TEXT", 2: "CREATE INDEX i ON missing (b)"})
    assert rows(old) == [("kept",)]
    assert rows(old, "PRAGMA user_version") == [(0,)]
    migrate(old, 3, ADD_COLUMN)
    assert rows(old) == [("kept", "new")]


def test_a_write_in_the_wal_is_in_the_backup_and_survives(old):
    with closing(sqlite3.connect(old)) as other:  # an open connection keeps the WAL
        other.execute("INSERT INTO t VALUES ('in the WAL')")
        other.commit()
        migrate(old, 3, ADD_COLUMN)
    assert rows(old.with_name("x.sqlite.v1.bak")) == [("kept",), ("in the WAL",)]
    assert rows(old, "SELECT a FROM t") == [("kept",), ("in the WAL",)]


def test_a_command_beside_an_older_service_does_not_migrate_its_state(tmp_path):
    run = create_run(tmp_path / "run", recipe="emoji-quick")
    Store(run.state_file).close()
    with closing(sqlite3.connect(run.state_file)) as db:
        db.execute("DROP TABLE orders")
        db.execute("PRAGMA user_version = 1")
    with serve_lock(run), pytest.raises(RunDirError, match="served by an older version") as caught:
        read_state(run)
    assert "start it again" in caught.value.next_step
    assert rows(run.state_file, "PRAGMA user_version") == [(1,)]
    read_state(run)
    assert rows(run.state_file, "PRAGMA user_version") == [(VERSION,)]


STORES = {"state": (Store, VERSION), "hub": (HubStore, SCHEMA_VERSION)}


@pytest.mark.parametrize("store", STORES)
def test_a_file_of_a_newer_version_is_refused_and_unchanged(tmp_path, store):
    open_store, version = STORES[store]
    path = tmp_path / "x.sqlite"
    open_store(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {version + 1}")
    before = path.read_bytes()
    with pytest.raises(NewerFileError, match="newer version") as caught:
        open_store(path)
    assert str(path) in caught.value.what
    assert "pip install" in caught.value.next_step
    assert path.read_bytes() == before


@pytest.mark.parametrize("store", STORES)
def test_a_file_that_is_no_database_is_named_and_unchanged(tmp_path, store):
    path = tmp_path / "x.sqlite"
    path.write_bytes(b"not a database at all, but long enough to be read as one" * 40)
    before = path.read_bytes()
    with pytest.raises(DatabaseError, match="not a database") as caught:
        STORES[store][0](path)
    assert str(path) in caught.value.what
    assert path.read_bytes() == before


@pytest.mark.parametrize("store", STORES)
def test_a_new_file_has_the_present_version_and_no_backup(tmp_path, store):
    open_store, version = STORES[store]
    for _ in range(2):
        open_store(tmp_path / "x.sqlite").close()
    assert rows(tmp_path / "x.sqlite", "PRAGMA user_version") == [(version,)]
    assert list(tmp_path.glob("*.bak")) == []
