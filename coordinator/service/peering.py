"""Starts the coordinator's own peer in the DHT."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from paris.coordinator.run.config_tables import DhtTable
from paris.coordinator.run.directory import RunDir
from paris.protocol.dht.peer import Peer
from paris.protocol.errors import NoPeersError
from paris.protocol.run_peer import NetworkOptions, RunPeer


def start_peer(run: RunDir, others: Sequence[str] = ()) -> RunPeer:
    """The coordinator's DHT peer, with its own key and port, so that its address stays the same.

    Args:
        run: The run directory.
        others: Addresses of the run's other coordinators, which may be down.

    Raises:
        PortTakenError: Its port is in use.
        NoPeersError: None of `[dht] initial_peers` answers.
    """
    if others:
        with suppress(NoPeersError):
            return _joined(run, [*run.config.dht.initial_peers, *others])
    return _joined(run, run.config.dht.initial_peers)


def _joined(run: RunDir, initial_peers: Sequence[str]) -> RunPeer:
    table = run.config.dht
    return Peer.start(
        run_id=run.run_id,
        coordinator=run.identity.public_key,
        listen=table.listen,
        initial_peers=initial_peers,
        identity_path=run.peer_key,
        network=network_of(table),
    )


def network_of(table: DhtTable) -> NetworkOptions:
    """The optional network features of the coordinator's peer."""
    return NetworkOptions(
        nat_port_map=table.nat_port_map,
        auto_nat=table.auto_nat,
        use_relay=table.use_relay or table.relay_for_volunteers,
        is_relay=table.relay_for_volunteers,
        announce=tuple(table.announce),
    )
