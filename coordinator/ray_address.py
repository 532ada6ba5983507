"""Whether a Ray cluster answers at an address, without importing Ray."""

from __future__ import annotations

import socket

_KNOCK_S = 10.0


def knock(address: str) -> None:
    """Check that something listens at an address; Ray itself would try for minutes.

    Args:
        address: As Ray takes it: "host:6379", "ray://host:10001"; "auto" is not checked.

    Raises:
        OSError: Nothing does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()
