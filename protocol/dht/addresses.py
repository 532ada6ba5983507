"""Multiaddrs as far as this project reads them: `/ip4/127.0.0.1/tcp/31337/p2p/12D3Koo...`."""

from __future__ import annotations

import contextlib
import errno
import socket
import time

from paris.protocol.errors import AddressError, PortTakenError

_PORT_RELEASE_S = 2.0
_FAMILIES = {"ip4": socket.AF_INET, "ip6": socket.AF_INET6}


def split_peer_address(address: str) -> tuple[str, str]:
    """Cut an initial peer's address into where it is and who it is.

    Returns:
        The transport part (`/ip4/.../tcp/...`) and the peer id.

    Raises:
        AddressError: It does not end with a peer id.
    """
    where, separator, peer_id = address.strip().rpartition("/p2p/")
    if not separator or not where.startswith("/") or not peer_id or "/" in peer_id:
        raise AddressError(
            f"{address!r} is not the address of a peer.",
            "It reads /ip4/HOST/tcp/PORT/p2p/PEER-ID, as the coordinator prints it.",
        )
    return where, peer_id


def ipv4_first(addresses: list[str]) -> list[str]:
    """The same addresses, IPv6 last: on machines with a broken IPv6 a dial of it hangs for long."""
    return sorted(addresses, key=lambda address: address.startswith("/ip6/"))


def require_free_port(listen: str, *, wait_s: float = _PORT_RELEASE_S) -> None:
    """Refuse a port that another process listens on.

    libp2p would take it all the same (SO_REUSEPORT), and each of the two would get half of the connections.

    Args:
        listen: Multiaddr to listen on; port 0 and transports other than TCP are always free.
        wait_s: How long to wait for a port that was held by our own predecessor, which may just be ending.

    Raises:
        PortTakenError: It is still taken then.
    """
    parts = listen.strip("/").split("/")
    if len(parts) < 4 or parts[0] not in _FAMILIES or parts[2] != "tcp" or parts[3] == "0":
        return
    deadline = time.monotonic() + wait_s
    while True:
        try:
            _bind(parts[0], parts[1], int(parts[3]))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise AddressError(f"Cannot listen on {listen}: {error.strerror}.") from error
            if time.monotonic() >= deadline:
                raise port_taken(listen) from error
            time.sleep(0.1)
        else:
            return


def port_taken(listen: str) -> PortTakenError:
    """The error for an address that is in use."""
    return PortTakenError(
        f"The address {listen} is in use by another process.",
        "Stop that process, or choose another port (0 takes any free one).",
    )


def _bind(family: str, host: str, port: int) -> None:
    with contextlib.closing(socket.socket(_FAMILIES[family], socket.SOCK_STREAM)) as probe:
        # Without it, connections of a predecessor that linger in TIME_WAIT would look like a listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        probe.listen()
