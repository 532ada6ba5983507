"""The demo's folder: whose it is, whether it may be used, and its lock.

demo.json     what was asked for, and how far it is (record.py)
demo.lock     held by the demo and its processes
recipe.toml   the settings that were chosen for the user's own pictures
run/          the run directory
volunteers/   a home each
logs/         output of each process
report.md ... the report
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from paris.coordinator.console import say
from paris.coordinator.demo.record import RECORD
from paris.coordinator.errors import RunDirError
from paris.protocol.locks import try_lock

RECIPE = "recipe.toml"
_LOCK = "demo.lock"
_OTHERS_END_S = 30.0
_POLL_S = 0.2


@contextmanager
def open_folder(out: Path, *, overwrite: bool, patience_s: float = _OTHERS_END_S) -> Iterator[FileIO]:
    """Make or open a demo's folder, and lock it.

    Child processes inherit the lock: after a kill it is free when the last of them has ended.

    Args:
        out: The folder.
        overwrite: Remove an earlier demo in it first.
        patience_s: How long to wait for the processes of an earlier demo, seconds.

    Yields:
        The lock file.

    Raises:
        RunDirError: The folder holds something else than a demo, or another demo runs in it; nothing is changed.
        NoLocksError: The file system has no locks.
    """
    require_own(out, overwrite=overwrite)
    out.mkdir(parents=True, exist_ok=True)
    lock = _wait_for_lock(out, patience_s)
    with lock:
        if overwrite:
            _clear(out)
        yield lock


def require_own(out: Path, *, overwrite: bool) -> None:
    """Check that a folder is missing, empty or a demo's, and so may be used.

    Raises:
        RunDirError: It holds something else, or a demo that cannot be continued and is not to be replaced.
    """
    if not out.exists():
        return
    names = {path.name for path in out.iterdir()} if out.is_dir() else {out.name}
    if RECORD in names or names <= {_LOCK, RECIPE}:
        return
    if not {"run", "logs"} <= names:
        raise RunDirError(f"{out} already exists and holds no demo.", "Choose another folder (--out).")
    if not overwrite:
        raise RunDirError(
            f"{out} already exists and holds a demo of an earlier version, which cannot be continued.",
            "Choose another folder (--out), or replace it (--overwrite).",
        )


def _wait_for_lock(out: Path, patience_s: float) -> FileIO:
    deadline = time.monotonic() + patience_s
    is_told = False
    while (lock := try_lock(out / _LOCK)) is None:
        if time.monotonic() > deadline:
            raise RunDirError(f"Another demo runs in {out}.", "Wait for its end, or choose another folder (--out).")
        if not is_told:
            say(f"Waiting for the processes of an earlier demo in {out} to end.")
            is_told = True
        time.sleep(_POLL_S)
    return lock


def _clear(out: Path) -> None:
    """Remove everything but the lock; the record last, so that a killed removal still leaves a demo's folder."""
    for path in sorted(out.iterdir(), key=lambda path: path.name == RECORD):
        if path.name == _LOCK:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
