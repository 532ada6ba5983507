"""The state of a run for commands beside `serve`, whether that runs or not."""

from __future__ import annotations

from paris.coordinator.errors import RunDirError
from paris.coordinator.migrations import is_older
from paris.coordinator.run.database import PostgresSchema
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.locks import serve_lock
from paris.coordinator.state.copying import move_into_database
from paris.coordinator.state.model import State
from paris.coordinator.state.store import VERSION, Store


def open_store(run: RunDir) -> Store:
    """Open a run's state; the caller closes it. An older file is migrated, and one that is to be moved into a database
    is moved, only while nobody serves the run.

    Raises:
        RunDirError: A service still uses the file as it is; nothing is changed.
        NewerFileError, DatabaseError: As `Store`.
    """
    if not _is_to_be_changed(run):
        return Store(run.state)
    busy = RunDirError(
        f"{run.path} is served by an older version of this software, or since before [state] database was set.",
        "Stop that `paris-coord serve` and start it again.",
    )
    with serve_lock(run, busy):
        return open_own_store(run)


def open_own_store(run: RunDir, *, seen_every_s: float = 0.0) -> Store:
    """As `open_store`, for who holds `serve_lock`; `seen_every_s` as of `Store`."""
    if isinstance(run.state, PostgresSchema) and run.state_file.exists():
        move_into_database(run, run.state)
    return Store(run.state, seen_every_s=seen_every_s)


def read_state(run: RunDir) -> State:
    """The run's state as last saved."""
    store = open_store(run)
    try:
        return store.load()
    finally:
        store.close()


def _is_to_be_changed(run: RunDir) -> bool:
    if isinstance(run.state, PostgresSchema):
        return run.state_file.exists()
    return is_older(run.state_file, VERSION)
