"""Options of a peer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from paris.protocol.run_peer import NetworkOptions


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
