"""Options of a peer, and its traffic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class NetworkOptions(BaseModel):
    """Optional network features. All are off by default, because each sends unsolicited packets.

    hivemind's defaults are on: even a peer on 127.0.0.1 asks the gateway for a port.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    nat_port_map: bool = False
    """Ask the router for a port by UPnP and NAT-PMP."""
    auto_nat: bool = False
    """AutoNAT: others probe whether this peer is reachable; hole punching."""
    use_relay: bool = False
    """Reach peers behind routers through relays."""
    is_relay: bool = False
    """Relay for others, up to 4 GiB and 30 minutes a connection; for a public peer with `use_relay`."""
    relays: tuple[str, ...] = ()
    """Full multiaddrs of peers through which this one is reached, since none can connect to it; takes `use_relay`."""
    announce: tuple[str, ...] = ()
    """Multiaddrs to announce instead of the listening ones, such as a public address with port forwarding."""


@dataclass(frozen=True)
class PeerOptions:
    """Arguments of `Peer.start`."""

    run_id: str
    coordinator: str | None
    listen: tuple[str, ...]
    initial_peers: tuple[str, ...]
    client_mode: bool
    identity_path: Path | None
    startup_timeout_s: float
    network: NetworkOptions


@dataclass(frozen=True)
class Traffic:
    """Records and bytes exchanged since the start.

    Bytes count DHT requests and responses, without libp2p's framing and encryption.
    """

    records_sent: int = 0
    bytes_sent: int = 0
    records_received: int = 0
    bytes_received: int = 0
