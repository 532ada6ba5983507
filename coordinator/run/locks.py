"""File locks on a run directory; the system releases them when their process ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paris.coordinator.errors import RunDirError
from paris.coordinator.run.directory import RunDir
from paris.protocol.locks import try_lock


@contextmanager
def serve_lock(run: RunDir, busy: Exception | None = None) -> Iterator[None]:
    """Hold the lock that at most one serving coordinator of a run directory holds.

    Args:
        run: The run directory.
        busy: Raised if another process holds it; None names that process.

    Raises:
        RunDirError: Another process holds it.
        NoLocksError: The file system has no locks.
    """
    served = RunDirError(f"Another coordinator already serves {run.path}.", "Stop it first (Ctrl-C in its terminal).")
    with hold_lock(run.path / "serve.lock", busy or served):
        yield


def is_served(run: RunDir) -> bool:
    """Whether a coordinator serves this directory now.

    Raises:
        NoLocksError: The file system has no locks, so that nobody can know.
    """
    try:
        with serve_lock(run):
            return False
    except RunDirError:
        return True


@contextmanager
def hold_lock(path: Path, busy: Exception) -> Iterator[None]:
    """Hold a lock file.

    Args:
        path: The lock file; created with its folder if missing.
        busy: Raised if another process holds the lock.

    Raises:
        NoLocksError: The file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = try_lock(path)
    if lock is None:
        raise busy
    with lock:
        yield
