"""A whole state from one database to another: into PostgreSQL and back, in one transaction."""

from __future__ import annotations

from sqlalchemy import Connection, select, text

from paris.coordinator.errors import RunDirError
from paris.coordinator.run.database import PostgresSchema, StateLocation
from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.engine import is_postgres, open_engine, snapshots_of
from paris.coordinator.state.postgres import SERVICE
from paris.coordinator.state.store import Store
from paris.coordinator.state.tables import METADATA
from paris.protocol.sealer import SequenceFile

_ROWS_AT_ONCE = 1000


def copy_state(source: StateLocation, target: StateLocation) -> None:
    """Copy all rows.

    Args:
        source: As of one moment.
        target: Holds no state; made if missing.

    Raises:
        RunDirError: The target holds a state; it is unchanged.
        NewerFileError, DatabaseError: As `Store`.
    """
    for location in (source, target):  # of this version
        Store(location).close()
    reading, writing = open_engine(source), open_engine(target)
    try:
        with snapshots_of(reading).connect() as old, writing.begin() as new:
            if not _is_empty(new):
                raise RunDirError(f"{target} holds a state already.", "Choose a database without one.")
            for table in METADATA.sorted_tables:
                for rows in old.execute(select(table)).mappings().partitions(_ROWS_AT_ONCE):
                    new.execute(table.insert(), [dict(row) for row in rows])
            if is_postgres(writing):
                _number_on(new)
    finally:
        reading.dispose()
        writing.dispose()


def move_into_database(run: RunDir, location: PostgresSchema) -> None:
    """Take the state of a run that had its own file until now into its database; the file stays, by another name.

    Args:
        run: With `[state] database`; nobody serves it.
        location: The database.

    Raises:
        RunDirError: Both hold a state, and they differ; nothing is changed.
        NewerFileError, DatabaseError: As `Store`.
    """
    try:
        copy_state(run.state_file, location)
    except RunDirError as error:
        if not _are_equal(run.state_file, location):
            raise RunDirError(
                f"{run.state_file} and {location} both hold a state of the run, and they differ.",
                "Move the older of them away: the file, or the schema in the database.",
            ) from error
    _reserve(location, SequenceFile(run.path / "sequence").reserved)
    for ending in ("-wal", "-shm"):  # empty, as all connections are closed
        run.state_file.with_name(run.state_file.name + ending).unlink(missing_ok=True)
    run.state_file.rename(run.state_file.with_name(f"{run.state_file.name}.moved"))


def _reserve(location: PostgresSchema, sequence: int) -> None:
    """Let each leader seal above the records of the time before the database."""
    engine = open_engine(location)
    try:
        with engine.begin() as connection:
            connection.execute(SERVICE.update().where(SERVICE.c.sequence < sequence).values(sequence=sequence))
    finally:
        engine.dispose()


def _is_empty(connection: Connection) -> bool:
    return not any(connection.execute(select(table).limit(1)).first() for table in METADATA.tables.values())


def _are_equal(one: StateLocation, other: StateLocation) -> bool:
    found = []
    for location in (one, other):
        store = Store(location)
        try:
            found.append((store.load(), store.newest_event_id()))
        finally:
            store.close()
    return found[0] == found[1]


def _number_on(connection: Connection) -> None:
    """Let the next rows get greater ids than those that were copied."""
    for table in METADATA.tables.values():
        if table.autoincrement_column is not None:
            newest = f"SELECT coalesce(max(id), 0) + 1 FROM {table.name}"
            sequence = f"pg_get_serial_sequence('{table.name}', 'id')"
            connection.execute(text(f"SELECT setval({sequence}, ({newest}), false)"))
