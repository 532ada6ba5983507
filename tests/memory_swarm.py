"""`RunPeer` without a network: peers of one process that call each other. Judge, limits and outcomes are the real ones.

    first = MemoryPeer.start(run_id=RUN_ID, coordinator=COORDINATOR.public_key)
    client = MemoryPeer.start(run_id=RUN_ID, coordinator=None, initial_peers=first.addresses, client_mode=True)
    first.is_cut = True     # from here on nobody reaches it, and it reaches nobody

For tests of what uses a peer. What tests the DHT itself takes `paris.protocol.dht.peer.Peer`.
"""

import itertools
import secrets
import select
import threading
from dataclasses import replace

from deadlines import DEADLINE_S

from paris.protocol import line
from paris.protocol.addresses import port_taken, split_peer_address
from paris.protocol.dht.stream_places import StreamPlaces
from paris.protocol.errors import AddressError, NoPeersError, PeerError
from paris.protocol.keys import dht_key, places_of
from paris.protocol.outcome import Outcome, outcome_of
from paris.protocol.record_shelves import RecordShelves
from paris.protocol.run_peer import RunPeer, Traffic
from paris.protocol.runid import require_run_id
from paris.protocol.shard_request import MAX_REQUEST_BYTES, Reply, ShardStatus
from paris.protocol.validator import Accepted, RecordJudge

LINE_PATIENCE_S = 4.0
_PORTS = itertools.count(1)
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_lock = threading.RLock()
_listening = {}
"""Running peers that others can dial, by their transport address."""


class MemoryPeer(RunPeer):
    """A peer of this process. Made by `start`."""

    def __init__(self, run_id, coordinator, initial_peers, client_mode, peer_id, transports):
        self._run_id, self._client_mode = run_id, client_mode
        self.judge = RecordJudge(run_id, coordinator)
        self.shelves = RecordShelves(rank=self.judge.rank)
        self._peer_id, self._transports = peer_id, transports
        self._initial_peers = [a for a in initial_peers if not a.endswith(f"/p2p/{peer_id}")]
        self._group = {self}
        """All peers that found each other."""
        self._traffic = Traffic()
        self._server, self._places = None, StreamPlaces()
        self._desk, self._desk_places = None, StreamPlaces()
        self.is_cut = self._is_stopped = False

    @classmethod
    def start(
        cls,
        *,
        run_id,
        coordinator,
        listen=("/ip4/127.0.0.1/tcp/0",),
        initial_peers=(),
        client_mode=False,
        identity_path=None,
        startup_timeout_s=DEADLINE_S,
        network=None,
    ):
        require_run_id(run_id)
        with _lock:
            transports = [] if client_mode else [_transport(address) for address in listen]
            peer = cls(run_id, coordinator, initial_peers, client_mode, _peer_id(identity_path), transports)
            peer._join()
            _listening.update(dict.fromkeys(transports, peer))
            return peer

    @property
    def addresses(self):
        return [f"{transport}/p2p/{self._peer_id}" for transport in self._transports]

    @property
    def peer_id(self):
        return self._peer_id

    @property
    def traffic(self):
        return self._traffic

    @property
    def refusals(self):
        return self.judge.refusals

    @property
    def num_neighbours(self):
        return len(self._replicas())

    def publish_many(self, envelopes, num_buckets, *, timeout_s=DEADLINE_S):
        with _lock:
            return [self._publish(envelope, num_buckets) for envelope in envelopes]

    def read_many(self, places, *, timeout_s=DEADLINE_S):
        with _lock:
            return {place: self._read(dht_key(self._run_id, *place)) for place in places}

    def read_fresh(self, places, *, timeout_s=DEADLINE_S):
        with _lock:
            keys = {place: dht_key(self._run_id, *place) for place in places}
            fresh = {place: {} if self._is_stopped else self.shelves.take_fresh(key) for place, key in keys.items()}
            return {place: self._checked(keys[place], fresh[place].items()) for place in keys}

    def serve_shards(self, server):
        self._server = server

    def request_shard(self, address, request, *, timeout_s=DEADLINE_S):
        with _lock:
            try:
                other = self._dial(address)
            except (AddressError, NoPeersError) as error:
                raise PeerError(f"{address} does not answer: {error.what}") from error
            if other._server is None:
                raise PeerError(f"{address} serves no shards.")
            if len(request) > MAX_REQUEST_BYTES:
                raise PeerError(f"{address} closed the stream without an answer.")
        return other._answer(self, request)

    def serve_line(self, server):
        self._desk = server

    def ask_line(self, address, request, *, timeout_s=DEADLINE_S):
        with _lock:
            try:
                other = self._dial(address)
            except (AddressError, NoPeersError) as error:
                raise PeerError(f"{address} does not answer: {error.what}") from error
            if other._desk is None or len(request) > line.MAX_REQUEST_BYTES:
                raise PeerError(f"{address} does not serve the line, or not such a request.")
            place = other._desk_places.enter(self._peer_id, lambda: None)
        try:
            reply = other._asked(self, place, request)
        finally:
            other._desk_places.leave(place)
        self._count(bytes_sent=len(request), bytes_received=len(reply))
        return reply

    def _asked(self, asker, place, request):
        """The reply to a request of the line, as `protocol/dht/line.py` gives it."""
        may_check = place is not None and self._desk_places.may_check(place)
        taken = self._desk.take(request, to=self._peer_id, peer=asker.peer_id) if may_check else None
        if taken is None:
            if may_check:
                self._desk_places.refused(place)
            raise PeerError("The peer closed the stream without a reply.")
        try:
            reply = taken.reply.result(LINE_PATIENCE_S)
        except TimeoutError:
            self._desk.hurry(taken)
            reply = taken.reply.result(0)
        if len(reply) > line.MAX_REPLY_BYTES or not (self.is_reachable and asker.is_reachable):
            raise PeerError("No reply, or one that is too long.")
        return reply

    def try_peer(self, address, *, timeout_s=DEADLINE_S):
        with _lock:
            try:
                self._dial(address)
            except (AddressError, NoPeersError) as error:
                return error
            return None

    def healthy(self, timeout_s=DEADLINE_S):
        with _lock:
            return not self._is_stopped and (bool(self._replicas()) or not self._initial_peers)

    def stop(self):
        with _lock:
            self._is_stopped = True
            self._group.discard(self)
            for transport in self._transports:
                _listening.pop(transport, None)

    @property
    def is_reachable(self):
        return not (self.is_cut or self._is_stopped)

    def _join(self):
        failures = [failure for failure in map(self.try_peer, self._initial_peers) if failure is not None]
        if failures and len(failures) == len(self._initial_peers):
            raise NoPeersError(f"None of the {len(failures)} initial peers answers.")

    def _dial(self, address):
        """The peer at an address; from then on each knows all that the other knows."""
        transport, peer_id = split_peer_address(address)
        other = _listening.get(transport)
        if other is None or other.peer_id != peer_id or not (self.is_reachable and other.is_reachable):
            raise NoPeersError(f"{address}: nobody answers.")
        if other._group is not self._group:
            other._group |= self._group
            for peer in self._group:
                peer._group = other._group
        return other

    def _replicas(self):
        """The other peers that store records, where this one can reach them."""
        if not self.is_reachable:
            return []
        found = [p for p in self._group if p is not self and p.is_reachable and not p._client_mode]
        if not found and any(self.try_peer(address) is None for address in self._initial_peers):
            return self._replicas()
        return found

    def _pinned(self):
        """Peer ids that the run's description names; before it is known, those that this peer was given."""
        addresses = self._initial_peers if self.judge.spec is None else self.judge.spec.initial_peers
        return {address.rpartition("/")[2] for address in addresses}

    def _publish(self, envelope, num_buckets):
        places = places_of(self._run_id, envelope.payload, envelope.signer, num_buckets)
        outcomes = [self._publish_at(place, envelope) for place in places]
        return next((outcome for outcome in outcomes if not outcome), Outcome.STORED)

    def _publish_at(self, place, envelope):
        key = place[0]
        record = (*place, envelope.data, envelope.expires_at)
        if self._is_stopped or not isinstance(self.judge.judge(*record), Accepted):
            return Outcome.UNANSWERED
        own = Outcome.UNANSWERED if self._client_mode else self._store_here(*record)
        replicas = self._replicas()
        stored = {peer: peer._take(*record) for peer in replicas}
        self._count(records_sent=len(stored), bytes_sent=len(stored) * len(envelope.data))
        pinned = self._pinned()
        is_sole_peer = not replicas and not self._client_mode and not self._initial_peers
        if is_sole_peer or self._peer_id in pinned:
            return own
        if not replicas:
            return Outcome.UNANSWERED
        deciding = [peer for peer in replicas if peer.peer_id in pinned] or replicas
        if all(stored[peer] for peer in deciding):
            return Outcome.STORED
        held = [{name: item.value for name, item in peer.shelves.under(key).items()} for peer in deciding]
        return outcome_of(record[1], envelope.data, held)

    def _take(self, key, subkey, value, expires_at):
        accepted = isinstance(self.judge.judge(key, subkey, value, expires_at), Accepted)
        return accepted and self.shelves.store(key, subkey, value, expires_at)

    def _store_here(self, key, subkey, value, expires_at):
        if self.shelves.store(key, subkey, value, expires_at):
            return Outcome.STORED
        return outcome_of(subkey, value, [{name: item.value for name, item in self.shelves.under(key).items()}])

    def _read(self, key):
        holders = [] if self._is_stopped else [self, *self._replicas()]
        return self._checked(key, (entry for peer in holders for entry in peer.shelves.under(key).items()))

    def _checked(self, key, found):
        newest = {}
        for subkey, item in found:
            verdict = self.judge.judge(key, subkey, *item)
            known = newest.get(subkey)
            if isinstance(verdict, Accepted) and (known is None or verdict.envelope.sequence > known.sequence):
                newest[subkey] = verdict.envelope
        self._count(records_received=len(newest), bytes_received=sum(len(e.data) for e in newest.values()))
        return [newest[subkey] for subkey in sorted(newest)]

    def _count(self, **more):
        self._traffic = replace(self._traffic, **{n: getattr(self._traffic, n) + add for n, add in more.items()})

    def _answer(self, asker, request):
        """The answer to a shard request, as `protocol/dht/shards.py` gives it."""
        answer = MemoryAnswer(self, asker)
        answer.place = self._places.enter(asker.peer_id, answer.close)
        if answer.place is None:
            raise PeerError("The peer closed the stream without an answer.")
        if self._places.may_check(answer.place):
            answer.take(self._server.answer(request))
        return answer


class MemoryAnswer:
    """`ShardAnswer` of a peer of this process."""

    def __init__(self, server, asker):
        self._peer, self._asker = server, asker
        self.place, self._reply, self._position = None, Reply(ShardStatus.REFUSED), 0
        self.status, self.num_bytes = ShardStatus.REFUSED, 0

    def take(self, reply):
        places = self._peer._places
        if reply.status is ShardStatus.REFUSED:
            places.refused(self.place)
        elif reply.signer and not places.accepted(self.place, reply.signer):
            self._peer._server.release(reply)
            reply = Reply(ShardStatus.BUSY)
        self._reply, self.status, self.num_bytes = reply, reply.status, reply.num_bytes

    def read(self, max_bytes, *, timeout_s):
        if not (self._peer.is_reachable and self._asker.is_reachable) or self.place is None:
            raise PeerError("The peer stopped sending.")
        if self._reply.path is None:
            return b""
        with self._reply.path.open("rb") as file:
            file.seek(self._reply.offset + self._position)
            piece = file.read(min(max_bytes, self.num_bytes - self._position))
        select.select([], [], [], self._peer._server.pace(len(piece)))
        self._position += len(piece)
        return piece

    def close(self):
        place, self.place = self.place, None
        if place is not None:
            self._peer._places.leave(place)
            self._peer._server.release(self._reply)


def _transport(listen):
    """The address to listen on, with a port of its own for port 0."""
    transport = f"{listen.rpartition('/')[0]}/{next(_PORTS)}" if listen.endswith("/tcp/0") else listen
    if transport in _listening:
        raise port_taken(listen)
    return transport


def _peer_id(path):
    """A new peer id, or the one of an identity file."""
    if path is not None and path.exists():
        return path.read_text("ascii")
    peer_id = "12D3KooW" + "".join(secrets.choice(_BASE58) for _ in range(44))
    if path is not None:
        path.write_text(peer_id, "ascii")
    return peer_id
