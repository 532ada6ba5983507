"""The node's DHT connection: one peer at a time, and no word of success before a record was stored."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from deadlines import DEADLINE_S

from paris.node.swarm.connection import Swarm, Traffic
from paris.node.work.agent import _why_waiting
from paris.protocol.errors import NoPeersError, PeerError
from paris.protocol.outcome import Outcome

ADDRESS = "/ip4/127.0.0.1/tcp/9/p2p/12D3KooWGRUVh2RdAyn2vKTA7kZzRbdLh8FdLuwuMjyJPDzBq1mR"
BEAT, WANT = SimpleNamespace(kind="heartbeat"), SimpleNamespace(kind="want")


class Network:
    """Where peers are started, and what they reach."""

    def __init__(self) -> None:
        self.may_start, self.accepts, self.is_reachable = threading.Event(), True, True
        self.is_full = False
        self.may_start.set()
        self.peers: list[DialedPeer] = []

    def start(self, addresses) -> DialedPeer:
        assert self.may_start.wait(DEADLINE_S)
        if not self.is_reachable:
            raise NoPeersError("No peer answers.")
        self.peers.append(DialedPeer(self))
        return self.peers[-1]


class DialedPeer:
    """A peer in that network."""

    def __init__(self, network: Network) -> None:
        self.network, self.is_stopped, self.traffic = network, False, Traffic()

    def publish(self, envelope, num_buckets) -> Outcome:
        if not self.network.is_reachable or not self.network.accepts:
            return Outcome.UNANSWERED
        return Outcome.FULL if self.network.is_full else Outcome.STORED

    def healthy(self, timeout_s: float) -> bool:
        return self.network.is_reachable

    def stop(self) -> None:
        self.is_stopped = True


def make_swarm(network: Network, changes: list[bool]) -> Swarm:
    return Swarm(num_buckets=1, initial_peers=(), start_peer=network.start, on_change=changes.append)


def test_two_threads_on_a_dead_swarm_start_one_peer():
    network, changes = Network(), []
    swarm = make_swarm(network, changes)
    network.may_start.clear()
    with ThreadPoolExecutor(2) as threads:
        published = [threads.submit(swarm.publish, BEAT) for _ in range(2)]
        network.may_start.set()
        assert [future.result(60) for future in published] == [Outcome.STORED, Outcome.STORED]
    assert len(network.peers) == 1


def test_it_answers_again_when_a_record_was_stored_and_not_before():
    network, changes = Network(), []
    swarm = make_swarm(network, changes)
    swarm.connect()
    network.is_reachable = False
    for _ in range(5):
        swarm.publish(BEAT)
    assert (changes, swarm.is_up) == ([False], False)
    network.is_reachable, network.accepts = True, False
    assert not swarm.publish(BEAT)
    assert len(network.peers) == 2, "a peer started"
    assert (changes, swarm.is_up) == ([False], False), "nobody stored anything yet"
    network.accepts = True
    assert swarm.publish(BEAT)
    assert (changes, swarm.is_up) == ([False, True], True)


def test_a_node_that_could_not_connect_at_first_says_when_it_could():
    network, changes = Network(), []
    swarm = make_swarm(network, changes)
    network.is_reachable = False
    with pytest.raises(NoPeersError):
        swarm.connect()
    network.is_reachable = True
    assert swarm.publish(BEAT)
    assert changes == [True]


def test_a_closed_connection_starts_no_peer_and_leaves_none_behind():
    network, changes = Network(), []
    swarm = make_swarm(network, changes)
    network.may_start.clear()
    with ThreadPoolExecutor(1) as threads:
        published = threads.submit(swarm.publish, BEAT)
        swarm.close()
        network.may_start.set()
        assert published.result(60) is Outcome.UNANSWERED
    assert all(peer.is_stopped for peer in network.peers)
    assert not swarm.publish(BEAT)
    with pytest.raises(PeerError):
        swarm.connect()
    assert all(peer.is_stopped for peer in network.peers)


def test_peers_that_have_no_room_for_the_want_answer_all_the_same():
    network, changes = Network(), []
    swarm = make_swarm(network, changes)
    swarm.connect()
    network.is_full = True
    for _ in range(5):
        assert swarm.publish(WANT) is Outcome.FULL
    assert (changes, swarm.is_up, swarm.is_full) == ([], True, True)
    assert _why_waiting(None, swarm) == "The run's list of waiting volunteers is full; trying again."
    network.is_full = False
    assert swarm.publish(WANT) is Outcome.STORED
    assert not swarm.is_full


def test_the_peers_of_a_newer_description_are_dialled_and_it_is_saved_once(make_spec):
    saved = []
    peers = ADDRESS, ADDRESS.replace("/9/", "/10/")
    old, new = (make_spec(sequence=number, initial_peers=peers[:number]) for number in (1, 2))
    swarm = Swarm(num_buckets=1, initial_peers=(), start_peer=None, remember=lambda run: saved.append(run) or run)
    swarm.given_peers = ("/typed",)
    swarm.follow(old)
    swarm.follow(new)
    swarm.follow(new)
    swarm.follow(old)
    assert swarm.initial_peers == (*peers, "/typed")
    assert saved == [old, new]


def test_a_description_that_cannot_be_saved_is_followed_nevertheless(make_spec):
    def full(run):
        raise OSError("No space left on device")

    swarm = Swarm(num_buckets=1, initial_peers=(), start_peer=None, remember=full)
    swarm.follow(make_spec(initial_peers=(ADDRESS,)))
    assert swarm.initial_peers == (ADDRESS,)
