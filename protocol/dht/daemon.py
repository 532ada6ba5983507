"""The libp2p daemon (p2pd) of a peer: start, identity, dial, stop."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from hivemind.p2p import P2P, PeerID
from hivemind.p2p.p2p_daemon_bindings.control import P2PDaemonError
from hivemind.p2p.p2p_daemon_bindings.utils import ControlFailure
from hivemind.utils.multiaddr import Multiaddr

from paris.protocol.addresses import (
    CIRCUIT,
    ipv4_first,
    is_relayed,
    port_taken,
    refuse_quic,
    require_free_port,
    split_peer_address,
)
from paris.protocol.dht.identity import IdentityLock, create_peer_identity
from paris.protocol.dht.options import PeerOptions
from paris.protocol.errors import AddressError, DaemonError, NoPeersError

_DIAL_TIMEOUT_S = 15.0
_ANSWER_TIMEOUT_S = 3.0
_RELAY_TIMEOUT_S = 10.0
_RELAY_EVERY_S = 0.2
_P2P, _CIRCUIT = bytes.fromhex("a503"), bytes.fromhex("a202")
"""Codes of /p2p and /p2p-circuit as varints. Source: table of the multiaddr specification."""


class Daemon:
    """A running p2pd and its locked identity. Made by `start_daemon`."""

    def __init__(self, p2p: P2P, lock: IdentityLock | None) -> None:
        self.p2p = p2p
        self._lock = lock

    @property
    def peer_id(self) -> str:
        """Base58 peer id."""
        return str(self.p2p.peer_id.to_base58())

    @property
    def is_running(self) -> bool:
        """Whether the process runs. Calls to a dead daemon time out instead of failing."""
        return self.p2p._child.returncode is None

    async def addresses(self) -> list[str]:
        """Full multiaddrs that it listens on or announces, IPv4 first; empty if it does not listen."""
        return ipv4_first([str(address) for address in await self.p2p.get_visible_maddrs(latest=True)])

    async def addresses_with_relay(self) -> list[str]:
        """As `addresses`, once one of them leads through a relay; without one after some seconds."""
        deadline = asyncio.get_running_loop().time() + _RELAY_TIMEOUT_S
        while True:
            found = await self.addresses()
            if any(map(is_relayed, found)) or asyncio.get_running_loop().time() > deadline:
                return found
            await asyncio.sleep(_RELAY_EVERY_S)

    async def dial(self, address: str) -> PeerID:
        """Open a connection to a peer.

        Args:
            address: Full multiaddr with a peer id.

        Raises:
            AddressError: The address is invalid.
            NoPeersError: No peer, or a peer with another id, answers.
        """
        where, peer_id = split_peer_address(address)
        try:
            peer, maddr = PeerID.from_base58(peer_id), _multiaddr(where)
        except ValueError as error:
            raise AddressError(f"{address!r} is not the address of a peer: {last_line(error)}.") from error
        try:
            # P2P has no public dial method; its `initial_peers` fail together, after seconds, without a reason.
            await asyncio.wait_for(self.p2p._client.connect(peer, [maddr]), _DIAL_TIMEOUT_S)
        except TimeoutError as error:
            raise NoPeersError(f"{address}: no connection within {_DIAL_TIMEOUT_S:.0f} s.") from error
        except (ControlFailure, OSError) as error:
            raise NoPeersError(f"{address}: {last_line(error)}.") from error
        return peer

    async def answers(self) -> bool:
        """Whether the daemon responds."""
        try:
            await asyncio.wait_for(self.p2p._client.identify(), _ANSWER_TIMEOUT_S)
        except (TimeoutError, OSError, ControlFailure, asyncio.IncompleteReadError):
            return False
        return True

    async def stop(self) -> None:
        """Stop the daemon, if it still runs, and release the identity."""
        await self.p2p.shutdown()
        if self._lock is not None:
            self._lock.release()


async def start_daemon(options: PeerOptions) -> Daemon:
    """Start p2pd without initial peers; `RunNode.join` dials them.

    Raises:
        PortTakenError: A listen port is in use.
        IdentityError: The identity file is in use or unreadable.
        AddressError: An address to listen on cannot be used.
        DaemonError: The daemon did not start for another reason. After any error nothing is left running.
    """
    for address in (*options.listen, *options.network.announce):
        refuse_quic(address)
    if not options.client_mode:
        for listen in options.listen:
            require_free_port(listen)
    lock = _locked_identity(options.identity_path)
    try:
        return Daemon(await _create(options), lock)
    except BaseException:
        if lock is not None:
            lock.release()
        raise


async def _create(options: PeerOptions) -> P2P:
    network, relays = options.network, _relays_of(options)
    try:
        return await P2P.create(
            host_maddrs=None if options.client_mode else list(options.listen),
            announce_maddrs=list(network.announce) or None,
            no_listen=options.client_mode,
            # libp2p's own routing: as its server a peer with relays would be connected to before it can punch holes.
            dht_mode="client" if options.client_mode or relays else "server",
            identity_path=None if options.identity_path is None else str(options.identity_path),
            # hivemind's check starts a second daemon with port mapping on; a file lock replaces it.
            check_if_identity_free=False,
            startup_timeout=options.startup_timeout_s,
            nat_port_map=network.nat_port_map,
            auto_nat=network.auto_nat,
            use_relay=network.use_relay,
            use_auto_relay=bool(relays),
            trusted_relays=relays or None,
            # What libp2p takes for granted instead of asking others, which takes it minutes.
            force_reachability="private" if relays else "public" if network.is_relay else None,
        )
    except ValueError as error:
        where = " or ".join((*options.listen, *network.announce))
        raise AddressError(f"{where} cannot be listened on or announced: {last_line(error)}.") from error
    except P2PDaemonError as error:
        if "address already in use" in str(error):
            raise port_taken(" or ".join(options.listen)) from error
        raise DaemonError(
            f"The libp2p daemon did not start: {last_line(error)}.",
            "Check the listen addresses, that /tmp is writable, and that p2pd may run.",
        ) from error


def _relays_of(options: PeerOptions) -> list[str]:
    """The relays to take a place at; the daemon would end at an address that it cannot read."""
    relays = []
    for address in () if options.client_mode else options.network.relays:
        with contextlib.suppress(ValueError):  # AddressError is one: the organiser's list may hold anything
            where, peer_id = split_peer_address(address)
            if not is_relayed(where) and Multiaddr(where) and PeerID.from_base58(peer_id):
                relays.append(address)
    return relays


def _multiaddr(where: str) -> Multiaddr:
    """The transport part of an address. hivemind writes the id of a relay as a CID, which p2pd does not read.

    Raises:
        ValueError: It is none.
    """
    direct, mark, relay = where.removesuffix(CIRCUIT).partition("/p2p/")
    if not mark:
        return Multiaddr(where)
    peer_id = PeerID.from_base58(relay).to_bytes()
    return Multiaddr(Multiaddr(direct).to_bytes() + _P2P + bytes([len(peer_id)]) + peer_id + _CIRCUIT)


def _locked_identity(path: Path | None) -> IdentityLock | None:
    if path is None:
        return None
    create_peer_identity(path)
    return IdentityLock(path)


def last_line(error: BaseException) -> str:
    """The last line of a message, where libp2p puts the cause; without a message, the type."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip().rstrip(".") if lines else type(error).__name__
