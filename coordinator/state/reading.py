"""Reads the state of a run, whether it is served or not."""

from __future__ import annotations

from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.model import State
from paris.coordinator.state.store import Store


def read_state(run: RunDir) -> State:
    """The run's state as last saved."""
    store = Store(run.state_file)
    try:
        return store.load()
    finally:
        store.close()
