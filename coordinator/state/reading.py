"""Reading the coordinator's state beside the running service."""

from __future__ import annotations

from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.model import State
from paris.coordinator.state.store import Store


def read_state(run: RunDir) -> State:
    """What the coordinator knows now."""
    store = Store(run.state_file)
    try:
        return store.load()
    finally:
        store.close()
