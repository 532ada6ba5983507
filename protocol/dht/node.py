"""Starts the libp2p daemon and a DHT node, joins the swarm, and stays joined."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from hivemind.dht.node import DHTNode
from hivemind.dht.protocol import ValidationError
from hivemind.dht.routing import DHTID
from hivemind.p2p import P2P, PeerID
from hivemind.p2p.p2p_daemon_bindings.control import P2PDaemonError
from hivemind.p2p.p2p_daemon_bindings.utils import ControlFailure
from hivemind.utils.multiaddr import Multiaddr

from paris.protocol.dht.addresses import ipv4_first, port_taken, require_free_port, split_peer_address
from paris.protocol.dht.identity import IdentityLock
from paris.protocol.dht.options import PeerOptions, Traffic
from paris.protocol.dht.rpc import RunProtocol
from paris.protocol.dht.storage import RecordStorage
from paris.protocol.dht.validator_adapter import JudgeValidator
from paris.protocol.errors import AddressError, ClockError, DaemonError, NoPeersError, ParisError, UnreachableError
from paris.protocol.validator import RecordJudge

_log = logging.getLogger(__name__)
_BUCKET_SIZE = 20
_DEPTH_MODULO = 5
_NUM_REPLICAS = 5
_RPC_TIMEOUT_S = 3.0
_DIAL_TIMEOUT_S = 15.0
_KEEP_JOINED_EVERY_S = 30.0


class RunNode:
    """One peer inside its event loop. Made by `start_node`, ended by `stop`."""

    def __init__(self, options: PeerOptions, judge: RecordJudge, p2p: P2P, lock: IdentityLock | None) -> None:
        self.options = options
        self.judge = judge
        self.p2p = p2p
        self._lock = lock
        self.dht: DHTNode | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def protocol(self) -> RunProtocol:
        """The RPC layer."""
        return self.dht.protocol  # type: ignore[union-attr]  # set by `open` before anybody has this object

    @property
    def traffic(self) -> Traffic:
        """What was exchanged so far."""
        return self.protocol.traffic.total

    async def open(self) -> None:
        """Put the DHT node over the daemon, with our own RPC layer and storage, before anybody knows of this peer."""
        # As a client first, so that hivemind registers no handlers of its own.
        dht = await DHTNode.create(p2p=self.p2p, client_mode=True, cache_locally=False, cache_nearest=0, cache_on_store=False)
        dht.protocol = await RunProtocol.create(
            self.p2p,
            dht.node_id,
            _BUCKET_SIZE,
            _DEPTH_MODULO,
            _NUM_REPLICAS,
            _RPC_TIMEOUT_S,
            client_mode=self.options.client_mode,
            record_validator=JudgeValidator(self.judge, self.options.run_id),
        )
        dht.protocol.storage, dht.protocol.cache = RecordStorage(), RecordStorage()
        self.dht = dht

    async def join(self) -> None:
        """Dial all initial peers at once; one that answers is enough.

        Raises:
            NoPeersError: None of them answers.
            ClockError: This machine's clock differs from theirs.
            UnreachableError: They answer, but cannot open a connection to this peer.
        """
        others = [a for a in ipv4_first(list(self.options.initial_peers)) if not a.endswith(f"/p2p/{self.peer_id}")]
        if not others:
            return
        outcomes = await asyncio.gather(*(self._greet(address) for address in others))
        failures = [outcome for outcome in outcomes if outcome is not None]
        for address, failure in zip(others, outcomes, strict=True):
            if failure is not None:
                _log.info("The initial peer %s does not answer: %s", address, failure.what)
        if len(failures) == len(others):
            for kind in (ClockError, UnreachableError):
                for failure in failures:
                    if isinstance(failure, kind):
                        raise failure
            raise _no_peers(others, failures)
        await self._meet_neighbours(DHTID(self._require_dht().node_id))

    async def keep_joined(self) -> None:
        """Look around now and then, and dial the initial peers again when nobody is left."""
        while True:
            await asyncio.sleep(_KEEP_JOINED_EVERY_S)
            try:
                if self.num_neighbours == 0:
                    await self.join()
                else:
                    await self._meet_neighbours(DHTID.generate())
            except ParisError as error:
                _log.warning("Still alone in the DHT: %s", error.what)

    def start_keeping_joined(self) -> None:
        """Run `keep_joined` until `stop`."""
        self._keeper = asyncio.create_task(self.keep_joined())

    @property
    def peer_id(self) -> str:
        """Who this peer is, base58."""
        return str(self.p2p.peer_id.to_base58())

    @property
    def num_neighbours(self) -> int:
        """Peers in the routing table."""
        return len(self.protocol.routing_table.uid_to_peer_id)

    async def addresses(self) -> list[str]:
        """Full multiaddrs by which others can dial this peer; none for a client."""
        if self.options.client_mode:
            return []
        return ipv4_first([str(address) for address in await self.p2p.get_visible_maddrs(latest=True)])

    async def is_healthy(self) -> bool:
        """Whether a round trip works: to any neighbour, or, for a peer that is the first, to its own daemon."""
        if not self.options.initial_peers and self.num_neighbours == 0:
            return await self._daemon_answers()
        if self.num_neighbours == 0:
            try:
                await self.join()
            except ParisError:
                return False
        neighbours = list(self.protocol.routing_table.uid_to_peer_id.values())
        answers = await asyncio.gather(*(self.protocol.call_ping(peer) for peer in neighbours[:_NUM_REPLICAS]))
        return any(answer is not None for answer in answers)

    async def stop(self) -> None:
        """End the DHT node and the daemon, and free the identity."""
        if self._keeper is not None:
            self._keeper.cancel()
        if self.dht is not None:
            self.dht.is_alive = False
        # Not DHTNode.shutdown: it unregisters handlers at a daemon that may be dead, and would wait for ever.
        await self.p2p.shutdown()
        if self._lock is not None:
            self._lock.release()

    async def _greet(self, address: str) -> ParisError | None:
        """Dial one initial peer and exchange pings; what went wrong, or None."""
        try:
            where, peer_id = split_peer_address(address)
            peer = PeerID.from_base58(peer_id)
            # P2P has no public dial; its `initial_peers` fails as a whole, and takes seconds for it.
            await asyncio.wait_for(self.p2p._client.connect(peer, [Multiaddr(where)]), _DIAL_TIMEOUT_S)
            answer = await self.protocol.call_ping(peer, validate=True, strict=True)
        except ParisError as error:
            return error
        except TimeoutError:
            return NoPeersError(f"{address}: no connection within {_DIAL_TIMEOUT_S:.0f} s.")
        except (ControlFailure, OSError) as error:
            return NoPeersError(f"{address}: {_last_line(error)}.")
        except ValidationError as error:
            return _clock_or_reach(error, address)
        except ValueError as error:
            return AddressError(f"{address!r} is not the address of a peer: {_last_line(error)}.")
        return None if answer is not None else NoPeersError(f"{address}: connected, but it runs no DHT.")

    async def _meet_neighbours(self, near: DHTID) -> None:
        await self._require_dht().find_nearest_nodes([near])

    async def _daemon_answers(self) -> bool:
        try:
            await asyncio.wait_for(self.p2p._client.identify(), _RPC_TIMEOUT_S)
        except (TimeoutError, OSError, ControlFailure, asyncio.IncompleteReadError):
            return False
        return True

    def _require_dht(self) -> DHTNode:
        return self.dht


async def start_node(options: PeerOptions, judge: RecordJudge) -> RunNode:
    """Start a peer and join the swarm.

    Raises:
        PortTakenError: A listen port is in use.
        IdentityError: The identity file is in use or unreadable.
        AddressError: An address to listen on cannot be used.
        DaemonError: The daemon did not start for another reason.
        NoPeersError, ClockError, UnreachableError: As `RunNode.join`. In every case nothing is left running.
    """
    if not options.client_mode:
        for listen in options.listen:
            require_free_port(listen)
    lock = _locked_identity(options.identity_path)
    try:
        p2p = await _start_daemon(options)
    except BaseException:
        if lock is not None:
            lock.release()
        raise
    node = RunNode(options, judge, p2p, lock)
    try:
        await node.open()
        await node.join()
    except BaseException:
        await node.stop()
        raise
    node.start_keeping_joined()
    return node


def _locked_identity(path: Path | None) -> IdentityLock | None:
    if path is None:
        return None
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.unlink(missing_ok=True)
        P2P.generate_identity(str(partial))
        partial.rename(path)
    return IdentityLock(path)


async def _start_daemon(options: PeerOptions) -> P2P:
    """Start p2pd without initial peers: joining is ours, peer by peer."""
    network = options.network
    try:
        return await P2P.create(
            host_maddrs=None if options.client_mode else list(options.listen),
            announce_maddrs=list(network.announce) or None,
            no_listen=options.client_mode,
            dht_mode="client" if options.client_mode else "server",
            identity_path=None if options.identity_path is None else str(options.identity_path),
            # Its check starts a second daemon with hivemind's defaults, port mapping included; ours is a file lock.
            check_if_identity_free=False,
            startup_timeout=options.startup_timeout_s,
            nat_port_map=network.nat_port_map,
            auto_nat=network.auto_nat,
            use_relay=network.use_relay,
        )
    except P2PDaemonError as error:
        if "address already in use" in str(error):
            raise port_taken(" or ".join(options.listen)) from error
        raise DaemonError(
            f"The libp2p daemon did not start: {_last_line(error)}.", "Check that /tmp is writable and that p2pd may run."
        ) from error


def _no_peers(addresses: list[str], failures: list[ParisError]) -> NoPeersError:
    return NoPeersError(
        f"None of {len(addresses)} initial peers answers: " + " ".join(failure.what for failure in failures),
        "Check the connection and the addresses, or get the run's current peers from its Hub repo (join by org/repo).",
    )


def _clock_or_reach(error: ValidationError, address: str) -> ParisError:
    if "local time" in str(error):
        return ClockError(
            f"The clock of this machine and that of {address} differ by more than 3 s.", "Set the clock of this machine (NTP)."
        )
    return UnreachableError(
        f"{address} answers, but cannot open a connection to this peer.",
        "Open the port that it listens on, or join as a client, which only dials out.",
    )


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip().rstrip(".") if lines else type(error).__name__
