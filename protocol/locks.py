"""Exclusive file locks between processes; the kernel releases them when the process ends, even after kill -9."""

from __future__ import annotations

import fcntl
import os
from io import FileIO
from pathlib import Path


def try_lock(path: Path, mode: int = 0o666) -> FileIO | None:
    """Lock a file without waiting.

    Args:
        path: The file; created if missing.
        mode: Permission bits of a new file, before the umask.

    Returns:
        The open file, which holds the lock until it is closed; None while another process holds it.

    Raises:
        OSError: The file cannot be opened.
    """
    file = FileIO(os.open(path, os.O_RDONLY | os.O_CREAT, mode))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if isinstance(error, BlockingIOError):
            return None
        raise
    return file
