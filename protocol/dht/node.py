"""A DHT node on top of the daemon: joins the swarm, rejoins, checks its health."""

from __future__ import annotations

import asyncio
import logging

from hivemind.dht.node import DHTNode
from hivemind.dht.protocol import ValidationError
from hivemind.dht.routing import DHTID
from hivemind.p2p import PeerID

from paris.protocol.dht.daemon import Daemon, start_daemon
from paris.protocol.dht.node_ids import node_id_of
from paris.protocol.dht.options import PeerOptions
from paris.protocol.dht.pinned import PinnedPeers, peer_of
from paris.protocol.dht.rpc import RunProtocol
from paris.protocol.dht.storage import RecordStorage
from paris.protocol.dht.validator_adapter import JudgeValidator
from paris.protocol.errors import ClockError, NoPeersError, ParisError, UnreachableError
from paris.protocol.limits import MAX_CLOCK_SKEW_S
from paris.protocol.run_peer import Traffic
from paris.protocol.validator import RecordJudge

_log = logging.getLogger(__name__)
_BUCKET_SIZE = 20
_DEPTH_MODULO = 5
NUM_REPLICAS = 5
_RPC_TIMEOUT_S = 5.0
_PING_TRIES = 3
_REJOIN_WAIT_S = 3.0
_MAINTAIN_EVERY_S = 30.0


class RunNode:
    """A DHT node in its event loop. Made by `start_node`."""

    def __init__(self, options: PeerOptions, judge: RecordJudge, daemon: Daemon, dht: DHTNode) -> None:
        self.options = options
        self.judge = judge
        self.daemon = daemon
        self.dht = dht
        self.protocol: RunProtocol = dht.protocol
        self.pinned = PinnedPeers()
        self._rejoining: asyncio.Task[None] | None = None
        self._maintenance: asyncio.Task[None] | None = None

    @property
    def traffic(self) -> Traffic:
        """Records and bytes exchanged so far."""
        return self.protocol.traffic.total

    @property
    def num_neighbours(self) -> int:
        """Peers in the routing table."""
        return len(self.protocol.routing_table.uid_to_peer_id)

    @property
    def neighbours(self) -> list[PeerID]:
        """The peers in the routing table."""
        return list(self.protocol.routing_table.uid_to_peer_id.values())

    def pinned_peers(self) -> list[PeerID]:
        """The run's pinned peers that answered when they were asked last."""
        return self.pinned.awake(self._pinned_addresses)

    @property
    def is_pinned(self) -> bool:
        """Whether the run's description names this peer."""
        spec = self.judge.spec
        return spec is not None and len(self._without_this(spec.initial_peers)) < len(spec.initial_peers)

    @property
    def _others(self) -> list[str]:
        return self._without_this(self.options.initial_peers)

    @property
    def _pinned_addresses(self) -> list[str]:
        """From the run's description; before it is known, the peers that this one was given."""
        spec = self.judge.spec
        return self._others if spec is None else self._without_this(spec.initial_peers)

    def _without_this(self, addresses: tuple[str, ...]) -> list[str]:
        """Addresses of other peers: a restarted coordinator may be given its own."""
        return [address for address in addresses if not address.endswith(f"/p2p/{self.daemon.peer_id}")]

    async def addresses(self) -> list[str]:
        """Full multiaddrs of this peer; empty for a client."""
        if self.options.client_mode:
            return []
        return await (self.daemon.addresses_with_relay() if self.options.network.relays else self.daemon.addresses())

    async def join(self) -> None:
        """Dial all initial peers concurrently; one answer is enough.

        Raises:
            NoPeersError: None answers.
            ClockError: This machine's clock differs from theirs.
            UnreachableError: They answer, but cannot connect to this peer.
        """
        others = self._others
        if not others:
            return
        outcomes = await asyncio.gather(*(self.try_peer(address) for address in others))
        failures = [outcome for outcome in outcomes if outcome is not None]
        for failure in failures:
            _log.info("An initial peer does not answer: %s", failure.what)
        if len(failures) == len(others):
            raise _most_specific(failures)
        await self.dht.find_nearest_nodes([self.dht.node_id])

    async def try_peer(self, address: str) -> ParisError | None:
        """Connect to an initial peer and ask its DHT; the error, or None."""
        try:
            peer = await self.daemon.dial(address)
            for _ in range(_PING_TRIES):  # a busy peer may miss one ping
                if await self.protocol.call_ping(peer, validate=True, strict=True) is not None:
                    return None
        except ParisError as error:
            return error
        except ValidationError as error:
            return _typed_error(error, address)
        return NoPeersError(f"{address}: connected, but its DHT does not answer.")

    @property
    def is_first(self) -> bool:
        """Whether this peer has no other initial peers."""
        return not self._others

    async def rejoin_if_alone(self) -> None:
        """If there are no neighbours, dial the initial peers again: wait 3 s at most, and go on in the background."""
        if self.num_neighbours > 0 or not self._others:
            return
        if self._rejoining is None or self._rejoining.done():
            self._rejoining = asyncio.create_task(self._try_join())
        await asyncio.wait({self._rejoining}, timeout=_REJOIN_WAIT_S)

    def start_maintenance(self) -> None:
        """Rejoin and refresh the routing table periodically until `stop`."""
        self._maintenance = asyncio.create_task(self._maintain())

    async def is_healthy(self) -> bool:
        """Whether a neighbour answers or, for the first peer of a swarm, its own daemon."""
        if not self.daemon.is_running:
            return False
        await self.rejoin_if_alone()
        if self.num_neighbours == 0:
            return self.is_first and await self.daemon.answers()
        answers = await asyncio.gather(*(self.protocol.call_ping(peer) for peer in self.neighbours[:NUM_REPLICAS]))
        return any(answer is not None for answer in answers)

    async def stop(self) -> None:
        """Stop the DHT node and the daemon."""
        for task in (self._maintenance, self._rejoining):
            if task is not None:
                task.cancel()
        # Not DHTNode.shutdown, which unregisters handlers at the daemon and hangs if that is dead.
        self.dht.is_alive = False
        await self.daemon.stop()

    async def dial_pinned(self) -> None:
        """Connect to the pinned peers that this peer has lost, or has not met yet."""
        lost = {peer: address for address in self._pinned_addresses if (peer := peer_of(address)) is not None}
        for peer in self.neighbours:
            lost.pop(peer, None)
        outcomes = await asyncio.gather(*(self.try_peer(address) for address in lost.values()))
        for peer, failure in zip(lost, outcomes, strict=True):
            self.pinned.note(peer, answered=failure is None)

    async def _try_join(self) -> None:
        try:
            await self.join()
        except ParisError as error:
            _log.warning("Alone in the DHT: %s", error.what)

    async def _maintain(self) -> None:
        while True:
            await asyncio.sleep(_MAINTAIN_EVERY_S)
            try:
                await self.rejoin_if_alone()
                await self.dial_pinned()
                await self.dht.find_nearest_nodes([DHTID.generate()])
            except Exception:  # the loop must survive; the next round may succeed
                _log.exception("Refreshing the DHT's routing table failed.")


async def start_node(options: PeerOptions) -> RunNode:
    """Start a peer and join the swarm.

    Raises:
        PortTakenError, IdentityError, AddressError, DaemonError: As `start_daemon`.
        NoPeersError, ClockError, UnreachableError: As `RunNode.join`. After any error nothing is left running.
    """
    logging.getLogger("hivemind").setLevel(logging.WARNING)
    judge = RecordJudge(options.run_id, options.coordinator)
    daemon = await start_daemon(options)
    try:
        node = RunNode(options, judge, daemon, await _open_dht(options, judge, daemon))
        await node.join()
    except BaseException:
        await daemon.stop()
        raise
    node.start_maintenance()
    return node


async def _open_dht(options: PeerOptions, judge: RecordJudge, daemon: Daemon) -> DHTNode:
    """Create a DHT node with our RPC layer and storage on the daemon, before the peer joins."""
    # Client mode, so that hivemind registers no handlers itself. No caches: they serve stale records. No growing bans:
    # after an hour's outage a peer would be ignored for another hour.
    dht = await DHTNode.create(
        p2p=daemon.p2p,
        node_id=node_id_of(daemon.p2p.peer_id),
        client_mode=True,
        cache_locally=False,
        cache_nearest=0,
        cache_on_store=False,
        backoff_rate=1.0,
    )
    protocol = await RunProtocol.create(
        daemon.p2p,
        dht.node_id,
        _BUCKET_SIZE,
        _DEPTH_MODULO,
        NUM_REPLICAS,
        _RPC_TIMEOUT_S,
        client_mode=options.client_mode,
        record_validator=JudgeValidator(judge, options.run_id),
    )
    protocol.storage, protocol.cache = RecordStorage(rank=judge.rank), RecordStorage()
    dht.protocol = protocol
    return dht


def _most_specific(failures: list[ParisError]) -> ParisError:
    """The most specific error, or one that lists all."""
    for kind in (ClockError, UnreachableError):
        for failure in failures:
            if isinstance(failure, kind):
                return failure
    return NoPeersError(
        f"None of the {len(failures)} initial peers answers: " + " ".join(failure.what for failure in failures),
        "Check the connection and the addresses, or get the run's current peers from its Hub repo.",
    )


def _typed_error(error: ValidationError, address: str) -> ParisError:
    if "local time" in str(error):
        return ClockError(
            f"The clock of this machine and that of {address} differ by more than {MAX_CLOCK_SKEW_S:.0f} s.",
            "Set the clock of this machine (NTP).",
        )
    return UnreachableError(
        f"{address} answers, but cannot open a connection to this peer.",
        "Open the listening port, or join as a client, which only dials out.",
    )
