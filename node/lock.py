"""One agent a home: two with one identity would fight over its lease, its files and its records."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from paris.protocol.errors import IdentityError


@contextlib.contextmanager
def home_lock(home: Path) -> Iterator[None]:
    """Hold the home's lock for as long as the block runs; the system frees it even after kill -9.

    Args:
        home: The node's folder; created if missing.

    Raises:
        IdentityError: Another process holds it. Nothing was changed.
    """
    home.mkdir(parents=True, exist_ok=True)
    path = home / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(descriptor, home)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0) if hasattr(os, "pwrite") else None
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, home: Path) -> None:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip() if sys.platform != "win32" else ""
        raise IdentityError(
            f"Another paris-node{f' (process {holder})' if holder else ''} uses the home {home}.",
            "Stop it first, or give this one a home and an identity of its own: --home DIR.",
        ) from error
