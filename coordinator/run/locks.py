"""Who works on a run directory: file locks, which the system lets go of when a process ends, however it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paris.coordinator.errors import RunDirError
from paris.coordinator.run.directory import RunDir
from paris.protocol.locks import try_lock


@contextmanager
def served(run: RunDir) -> Iterator[None]:
    """Hold the lock of the one coordinator that serves a run directory.

    Raises:
        RunDirError: Another one does.
    """
    taken = RunDirError(f"Another coordinator already serves {run.path}.", "Stop it first (Ctrl-C in its terminal).")
    with locked(run.path / "serve.lock", taken):
        yield


def is_served(run: RunDir) -> bool:
    """Whether a coordinator serves this directory now."""
    try:
        with served(run):
            return False
    except RunDirError:
        return True


@contextmanager
def locked(path: Path, taken: Exception) -> Iterator[None]:
    """Hold a lock file.

    Args:
        path: The file; made if need be, with its folder.
        taken: Raised where another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = try_lock(path)
    if lock is None:
        raise taken
    with lock:
        yield
