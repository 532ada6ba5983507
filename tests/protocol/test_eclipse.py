"""Five hostile peers beside a key, which say that they store everything, show nothing and know only each other.

A peer's place follows from its key, so they have made keys until their places are nearer than the run's own peer's.
"""

import random
import secrets

import pytest
from deadlines import DEADLINE_S
from hivemind.dht.routing import DHTID
from hivemind.dht.storage import DHTLocalStorage
from hivemind.p2p import PeerID
from protocol_samples import LEASE, RUN, TASK
from protocol_swarm import Rogue, eventually, held_by, sealed_now, start_peer

from paris.protocol.dht.exchange import NUM_REPLICAS
from paris.protocol.dht.identity import create_peer_identity
from paris.protocol.dht.node_ids import node_id_of
from paris.protocol.keys import dht_key

LEASES = DHTID.generate(source=dht_key(sealed_now(LEASE).run_id, "lease"))
NUM_INVENTED = 20
"""Neighbours that each hostile peer names, all nearer to the key than the run's own peer: a whole search beam."""


class Sink(DHTLocalStorage):
    """Takes everything and shows nothing."""

    def store(self, *record, **options):
        return True

    store_subkey = store

    def get(self, key):
        return None


def is_beside(peer: PeerID) -> bool:
    """Whether a peer is in the half of the ids that is nearer to the key of the leases."""
    return node_id_of(peer) ^ LEASES < DHTID.MAX // 2


def key_file(path, *, beside: bool):
    """A file with the key of a peer that is beside the key of the leases, or far from it."""
    while True:
        create_peer_identity(path)
        if is_beside(PeerID.from_identity(path.read_bytes())) is beside:
            return path
        path.unlink()


def invented() -> PeerID:
    """The name of a peer that does not exist, beside the key of the leases."""
    while True:
        name = PeerID(bytes([0x12, 0x20]) + secrets.token_bytes(32))
        if is_beside(name):
            return name


def hostile(addresses: list[str], path) -> Rogue:
    rogue = Rogue(addresses, str(key_file(path, beside=True)))

    async def turn() -> None:
        protocol = rogue.node.protocol
        protocol.storage, protocol.cache = Sink(), Sink()
        for _ in range(NUM_INVENTED):
            name = invented()
            protocol.routing_table.add_or_update_node(node_id_of(name), name)

    rogue._run(turn())
    return rogue


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    path = key_file(tmp_path_factory.mktemp("coordinator") / "peer.id", beside=False)
    with start_peer(identity_path=path) as peer:
        yield peer


@pytest.fixture(scope="module")
def surrounded(coordinator, tmp_path_factory):
    """The addresses of the hostile peers."""
    folder = tmp_path_factory.mktemp("keys")
    rogues = [hostile(coordinator.addresses, folder / f"{number}.id") for number in range(NUM_REPLICAS)]
    assert eventually(lambda: coordinator.num_neighbours >= NUM_REPLICAS)
    assert coordinator.publish(sealed_now(RUN.model_copy(update={"initial_peers": tuple(coordinator.addresses)})), 1)
    yield [rogue.addresses[0] for rogue in rogues]
    for rogue in rogues:
        rogue.stop()


def test_what_a_surrounded_volunteer_stores_and_reads_is_at_the_runs_own_peer(coordinator, surrounded):
    envelope = sealed_now(LEASE)
    with start_peer(initial_peers=[*coordinator.addresses, *surrounded], client_mode=True) as writer:
        assert eventually(lambda: writer.num_neighbours > NUM_REPLICAS)
        assert writer.publish(envelope, 1)
    assert held_by(coordinator, envelope) == envelope.data
    with start_peer(initial_peers=[*coordinator.addresses, *surrounded], client_mode=True) as reader:
        assert reader.read("lease") == [envelope]


def test_a_volunteer_that_joined_by_hostile_peers_alone_finds_the_runs_own(coordinator, surrounded):
    """It knows the description from a file, as every volunteer does, and dials the peers that are named there."""
    envelope = sealed_now(TASK)
    assert coordinator.publish(envelope, 1)
    (run,) = coordinator.read("run")
    with start_peer(initial_peers=surrounded, client_mode=True) as victim:
        victim._node.judge.judge(dht_key(run.run_id, "run"), run.signer, run.data, run.expires_at)
        victim._thread.call(victim._node.dial_pinned(), timeout_s=DEADLINE_S)
        assert victim.read("task") == [envelope]
        assert victim.publish(sealed_now(LEASE), 1)


def test_a_peer_stands_where_its_key_puts_it_and_nowhere_else_whatever_it_claims(coordinator):
    claims = [DHTID(int(LEASES) ^ (number + 2)) for number in range(3)]
    rogue = Rogue(coordinator.addresses, node_id=claims[0])
    try:
        table = coordinator._node.protocol.routing_table
        assert eventually(lambda: rogue.p2p.peer_id in table)
        for claim in claims:
            rogue.node.protocol.node_info.node_id = claim.to_bytes()
            rogue._run(rogue.node.protocol.call_ping(PeerID.from_base58(coordinator.peer_id)))
        places = [place for place, peer in table.uid_to_peer_id.items() if peer == rogue.p2p.peer_id]
        assert places == [node_id_of(rogue.p2p.peer_id)]
        with start_peer(initial_peers=rogue.addresses, client_mode=True) as victim:
            assert eventually(lambda: victim.num_neighbours > 0)
            found = victim._thread.call(victim._node.dht.find_nearest_nodes([LEASES]), timeout_s=DEADLINE_S)[LEASES]
            assert all(place == node_id_of(peer) for place, peer in found.items())
    finally:
        rogue.stop()


def test_a_place_nearer_than_all_others_costs_about_as_many_keys_as_there_are_peers():
    draw, tries, num_peers = random.Random(5), [], 50
    for _ in range(40):
        key = draw.getrandbits(160)
        nearest = min(node_id_of(PeerID(draw.randbytes(34))) ^ key for _ in range(num_peers))
        tries.append(1)
        while node_id_of(PeerID(draw.randbytes(34))) ^ key >= nearest:
            tries[-1] += 1
    median = sorted(tries)[len(tries) // 2]
    assert 0.5 * num_peers < median < 2 * num_peers
