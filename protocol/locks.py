"""Exclusive file locks between processes; the kernel releases them when the process ends, even after kill -9.

Some network file systems have no locks. There nothing starts, unless the user answers for it with `--no-lock`, which
child processes inherit as PARIS_NO_LOCK=1. Where there are locks, `--no-lock` changes nothing.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from io import FileIO
from pathlib import Path

from paris.protocol.errors import NoLocksError

_logger = logging.getLogger(__name__)
_VARIABLE = "PARIS_NO_LOCK"
NO_LOCK_HELP = "Go on without locks where the file system has none; you make sure that nothing else uses the folder."


def go_without_locks(wanted: bool = True) -> None:
    """Let this process and its children go on where the file system has no locks, if that is `wanted`."""
    if wanted:
        os.environ[_VARIABLE] = "1"


def try_lock(path: Path, mode: int = 0o666) -> FileIO | None:
    """Lock a file without waiting.

    Args:
        path: The file; created if missing.
        mode: Permission bits of a new file, before the umask.

    Returns:
        The open file, which holds the lock until it is closed; None while another process holds it.

    Raises:
        NoLocksError: The file system has no locks.
        OSError: The file cannot be opened.
    """
    file = _open(path, mode)
    return file if _lock(file, path, fcntl.LOCK_EX | fcntl.LOCK_NB) else None


def wait_for_lock(path: Path, mode: int = 0o666) -> FileIO:
    """Lock a file, waiting while another process holds it; otherwise as `try_lock`."""
    file = _open(path, mode)
    _lock(file, path, fcntl.LOCK_EX)
    return file


def _open(path: Path, mode: int) -> FileIO:
    try:
        return FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode))  # NFS locks only files open to write
    except PermissionError:
        return FileIO(os.open(path, os.O_RDONLY | os.O_CLOEXEC))


def _lock(file: FileIO, path: Path, operation: int) -> bool:
    """Whether the lock is held now; if not, the file is closed."""
    try:
        fcntl.flock(file, operation)
    except OSError as error:
        if error.errno != errno.EWOULDBLOCK and os.environ.get(_VARIABLE) == "1":
            _logger.warning("%s is not locked (%s): make sure that nothing else uses it.", path, error.strerror)
            return True
        file.close()
        if error.errno == errno.EWOULDBLOCK:
            return False
        raise NoLocksError(
            f"{path} cannot be locked: its file system has no locks ({error.strerror}).",
            "Use a folder on a local disk; or add --no-lock and make sure that nothing else uses this folder.",
        ) from error
    return True
