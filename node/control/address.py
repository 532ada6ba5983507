"""The control socket's place in the home. The kernel limits its path to some hundred bytes."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from paris.node.errors import SettingsError

SOCKET_NAME = "control.sock"
_LONGEST_BYTES = 103
"""macOS takes 104 bytes and Linux 108, the closing zero included."""


@contextlib.contextmanager
def socket_address(home: Path) -> Iterator[str]:
    """The address to bind or to connect to, valid inside the block.

    Args:
        home: The folder that holds the socket; it exists.

    Raises:
        SettingsError: The path is too long, and this system has no /proc to shorten it.
        OSError: The folder cannot be opened.
    """
    path = home.absolute() / SOCKET_NAME
    if len(os.fsencode(path)) <= _LONGEST_BYTES:
        yield str(path)
        return
    if sys.platform != "linux":
        raise SettingsError(f"The path {path} is too long for a socket.", "Use a --home with a shorter path.")
    folder = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET_NAME}"
    finally:
        os.close(folder)
