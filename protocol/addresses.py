"""Multiaddrs of the form `/ip4/127.0.0.1/tcp/31337/p2p/12D3Koo...`; through a relay, that of the relay comes first:
`/ip4/203.0.113.7/tcp/31337/p2p/QmRelay.../p2p-circuit/p2p/12D3Koo...`.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from urllib.parse import urlsplit

from paris.protocol.errors import AddressError, PortTakenError

CIRCUIT = "/p2p-circuit"
_PORT_RELEASE_S = 2.0
_DATAGRAMS = {"udp", "quic", "quic-v1", "webtransport", "webrtc", "webrtc-direct"}
_FAMILIES = {"ip4": socket.AF_INET, "ip6": socket.AF_INET6}


def split_peer_address(address: str) -> tuple[str, str]:
    """Split a peer's address into transport and peer id.

    Returns:
        The transport part (`/ip4/.../tcp/...`), with the relay if there is one, and the peer id.

    Raises:
        AddressError: The address does not end with a peer id, or is not over TCP.
    """
    refuse_quic(address)
    where, separator, peer_id = address.strip().rpartition("/p2p/")
    if not separator or not where.startswith("/") or not peer_id or "/" in peer_id:
        raise AddressError(
            f"{address!r} is not the address of a peer.",
            "Expected /ip4/HOST/tcp/PORT/p2p/PEER-ID, as printed by the coordinator.",
        )
    return where, peer_id


def require_url(url: str) -> str:
    """The URL, which was checked: http or https, with a host and, if any, a possible port.

    Raises:
        AddressError: It can never answer.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")  # refuses empty and long labels, as the system's look-up does
        is_url = parts.scheme in ("http", "https") and bool(host) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        shown = url.rpartition("@")[2]  # without user and password
        raise AddressError(f"{shown!r} is not an http or https address.", "Expected https://HOST or https://HOST:PORT.")
    return url


def is_relayed(address: str) -> bool:
    """Whether an address leads through a relay."""
    return CIRCUIT in address


def refuse_quic(address: str) -> None:
    """Refuse a multiaddr over UDP, that is QUIC or what is built on it.

    The daemon's quic-go is of 2023: a stranger can exhaust its memory (CVE-2024-22189).

    Raises:
        AddressError: The address is not over TCP.
    """
    if _DATAGRAMS.intersection(address.split("/")):
        raise AddressError(
            f"{address} is a QUIC address, and the libp2p daemon's QUIC can be made to use up all memory.",
            "Use TCP: /ip4/HOST/tcp/PORT.",
        )


def ipv4_first(addresses: list[str]) -> list[str]:
    """Sort IPv6 addresses last: with a broken IPv6 stack, dialling them hangs."""
    return sorted(addresses, key=lambda address: address.startswith("/ip6/"))


def require_free_port(listen: str, *, wait_s: float = _PORT_RELEASE_S) -> None:
    """Check that no other process listens on a port.

    libp2p would listen anyway (SO_REUSEPORT), and each process would get half of the connections.

    Args:
        listen: Multiaddr to listen on; port 0 and transports other than TCP are always free.
        wait_s: How long to wait for the port, in case our own predecessor is shutting down.

    Raises:
        PortTakenError: The port is still in use after `wait_s`.
        AddressError: The machine cannot listen on the address.
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
    """Make the error for an address in use."""
    return PortTakenError(
        f"The address {listen} is in use by another process.",
        "Stop that process, or choose another port (0 takes any free one).",
    )


def _bind(family: str, host: str, port: int) -> None:
    with contextlib.closing(socket.socket(_FAMILIES[family], socket.SOCK_STREAM)) as probe:
        # Otherwise a predecessor's connections in TIME_WAIT would look like a listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        probe.listen()
