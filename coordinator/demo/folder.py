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

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from paris.coordinator.console import say
from paris.coordinator.demo.record import RECORD
from paris.coordinator.errors import RunDirError
from paris.protocol.errors import NoLocksError
from paris.protocol.locks import try_lock

RECIPE = "recipe.toml"
_LOCK = "demo.lock"
_REPORT = ("report.md", "report.json", "samples.png", "nearest.png", "clusters.png", "training.png")
MADE = frozenset({RECORD, _LOCK, RECIPE, "run", "volunteers", "logs", *_REPORT})
"""Names that a demo makes in its folder; only these are ever removed."""
_OTHERS_END_S = 30.0
_POLL_S = 0.2
_SHOWN = 5
_UNFINISHED = re.compile(r"\.(.+)\.\d+\.part")
"""Of `write_whole`."""


@contextmanager
def open_folder(out: Path, *, overwrite: bool, patience_s: float = _OTHERS_END_S) -> Iterator[FileIO]:
    """Make or open a demo's folder, and lock it; a body that writes nothing leaves nothing.

    Child processes inherit the lock: after a kill it is free when the last of them has ended.

    Args:
        out: The folder.
        overwrite: Whether the body may replace an earlier demo in it, by `clear`.
        patience_s: How long to wait for the processes of an earlier demo, seconds.

    Yields:
        The lock file.

    Raises:
        RunDirError: As `require_own`, or another demo runs in the folder; nothing is changed.
        NoLocksError: The file system has no locks; nothing is changed.
    """
    require_own(out, overwrite=overwrite)
    is_new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        lock = _wait_for_lock(out, patience_s)
    except NoLocksError:
        _leave_nothing(out, is_new=is_new)
        raise
    with lock:
        try:
            require_own(out, overwrite=overwrite)  # what came while it waited
            yield lock
        finally:
            _leave_nothing(out, is_new=is_new)


def require_own(out: Path, *, overwrite: bool) -> None:
    """Check that a folder is missing, empty or a demo's, and so may be used.

    Raises:
        RunDirError: It holds something else, or a demo that cannot be continued and is not to be replaced, or a demo
            to be replaced beside files of somebody else.
    """
    if not out.exists():
        return
    names = {path.name for path in out.iterdir()} if out.is_dir() else {out.name}
    is_demo, others = RECORD in names, sorted(name for name in names if not _is_made(name))
    if names <= {_LOCK}:
        return
    if not is_demo and (others or not {"run", "logs"} <= names):
        raise RunDirError(f"{out} already exists and holds no demo.", "Choose another folder (--out).")
    if overwrite and others:
        shown = ", ".join(others[:_SHOWN]) + (" ..." if len(others) > _SHOWN else "")
        raise RunDirError(
            f"{out} holds files beside its demo, which the demo did not make: {shown}.",
            "Move them to another folder, or choose another one for the demo (--out).",
        )
    if not overwrite and not is_demo:
        raise RunDirError(
            f"{out} already exists and holds a demo of an earlier version, which cannot be continued.",
            "Choose another folder (--out), or replace it (--overwrite).",
        )


def require_outside(out: Path, source: Path, option: str) -> None:
    """Check that what a demo reads is not in the folder that it writes and may replace.

    Args:
        out: The demo's folder.
        source: A file or folder that the demo reads; if there is none, it may be the name of a data set.
        option: That names it.

    Raises:
        RunDirError: The source is in the folder, or is the folder.
    """
    path = source.expanduser().resolve()
    if path.exists() and path.is_relative_to(out.resolve()):
        raise RunDirError(
            f"{option} {source} is inside {out}, which the demo writes and --overwrite replaces.",
            "Choose another folder for the demo (--out).",
        )


def clear(out: Path) -> None:
    """Remove a demo, but its lock; the record last, so that a killed removal still leaves a demo's folder."""
    for path in sorted(out.iterdir(), key=lambda path: path.name == RECORD):
        if path.name == _LOCK or not _is_made(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _is_made(name: str) -> bool:
    """Whether a demo makes a file or folder of this name; also the unfinished file that a kill leaves of one."""
    unfinished = _UNFINISHED.fullmatch(name)
    return name in MADE or (unfinished is not None and unfinished[1] in MADE)


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


def _leave_nothing(out: Path, *, is_new: bool) -> None:
    """Remove a lock that guards nothing, and its folder if it was made for it."""
    if not out.is_dir() or [path.name for path in out.iterdir()] != [_LOCK]:
        return
    (out / _LOCK).unlink()
    if is_new:
        out.rmdir()
