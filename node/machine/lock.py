"""One node per home: two with one identity would fight over its lease, its files and its records."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from paris.protocol.errors import IdentityError
from paris.protocol.locks import try_lock


@contextlib.contextmanager
def home_lock(home: Path) -> Iterator[None]:
    """Hold the home's lock during the block.

    Args:
        home: The node's folder; created if missing.

    Raises:
        IdentityError: Another process holds it. Nothing was changed.
    """
    home.mkdir(parents=True, exist_ok=True)
    path = home / "lock"
    lock = try_lock(path, mode=0o600)
    if lock is None:
        holder = path.read_text("ascii", "replace").strip()
        raise IdentityError(
            f"Another paris-node{f' (process {holder})' if holder else ''} uses the home {home}.",
            "Stop it first, or give this one a home and an identity of its own: --home DIR.",
        )
    with lock:
        path.write_text(f"{os.getpid()}\n", "ascii")
        yield
