"""The state of a run for commands beside `serve`, whether that runs or not."""

from __future__ import annotations

from paris.coordinator.errors import RunDirError
from paris.coordinator.migrations import is_older
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.locks import serve_lock
from paris.coordinator.state.model import State
from paris.coordinator.state.store import VERSION, Store


def open_store(run: RunDir) -> Store:
    """Open a run's state; the caller closes it. An older file is migrated only while nobody serves the run.

    Raises:
        RunDirError: An older version serves the run, and could not read a migrated state; nothing is changed.
        NewerFileError, DatabaseError: As `Store`.
    """
    if not is_older(run.state_file, VERSION):
        return Store(run.state_file)
    busy = RunDirError(
        f"{run.path} is served by an older version of this software, which could not read its state after an upgrade.",
        "Stop that `paris-coord serve` and start it again with this version.",
    )
    with serve_lock(run, busy):
        return Store(run.state_file)


def read_state(run: RunDir) -> State:
    """The run's state as last saved."""
    store = open_store(run)
    try:
        return store.load()
    finally:
        store.close()
