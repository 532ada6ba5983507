"""One node per home: two with one identity would fight over its lease, its files and its records."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from paris.node.errors import SettingsError, is_disk_full
from paris.protocol.errors import IdentityError
from paris.protocol.locks import try_lock
from paris.protocol.private_files import make_private_folder


@contextlib.contextmanager
def home_lock(home: Path) -> Iterator[None]:
    """Hold the home's lock during the block.

    Args:
        home: The node's folder; created if missing.

    Raises:
        IdentityError: Another process holds it. Nothing was changed.
        SettingsError: The folder cannot be written.
        NoLocksError: The file system has no locks.
    """
    path = home / "lock"
    try:
        make_private_folder(home)
        lock = try_lock(path, mode=0o600)
    except OSError as error:
        if is_disk_full(error):
            raise
        raise SettingsError(
            f"The home {home} cannot be used: {error.strerror}.", "Choose a folder that you can write: --home DIR."
        ) from error
    if lock is None:
        holder = path.read_text("ascii", "replace").strip()
        raise IdentityError(
            f"Another paris-node{f' (process {holder})' if holder else ''} uses the home {home}.",
            "Stop it first, or give this one a home and an identity of its own: --home DIR.",
        )
    with lock:
        path.write_text(f"{os.getpid()}\n", "ascii")
        yield
