"""How a peer is started, and what it has carried."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class NetworkOptions(BaseModel):
    """What a peer may do beyond plain connections. All off by default: each of these sends packets on its own.

    hivemind's own defaults are on: even a peer on 127.0.0.1 then asks the gateway for a port.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    nat_port_map: bool = False
    """Ask the router for a port by UPnP and NAT-PMP."""
    auto_nat: bool = False
    """Let others probe whether this peer is reachable, and punch holes."""
    use_relay: bool = False
    """Reach peers behind NATs by way of third peers."""
    announce: tuple[str, ...] = ()
    """Multiaddrs to announce instead of the ones listened on, such as a public address behind a forwarded port."""


@dataclass(frozen=True)
class PeerOptions:
    """Everything that `Peer.start` was told."""

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
    """What a peer has exchanged since its start.

    Bytes are those of the DHT's own messages, requests and answers, in both directions; libp2p's framing and encryption
    come on top.
    """

    records_sent: int = 0
    bytes_sent: int = 0
    records_received: int = 0
    bytes_received: int = 0
