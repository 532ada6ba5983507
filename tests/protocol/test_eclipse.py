"""Five hostile peers beside a key, which say that they store everything, show nothing and know only each other."""

import pytest
from hivemind.dht.routing import DHTID
from hivemind.dht.storage import DHTLocalStorage
from hivemind.p2p import PeerID
from protocol_samples import LEASE, RUN, TASK
from protocol_swarm import Rogue, eventually, held_by, sealed_now, start_peer

from paris.protocol.dht.exchange import NUM_REPLICAS
from paris.protocol.keys import dht_key

pytestmark = pytest.mark.timeout(180)
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


def beside(number: int) -> DHTID:
    return DHTID(int(LEASES) ^ (number + 2))


def hostile(addresses: list[str], number: int) -> Rogue:
    rogue = Rogue(addresses, node_id=beside(number))

    async def turn() -> None:
        protocol = rogue.node.protocol
        protocol.storage, protocol.cache = Sink(), Sink()
        for invented in range(NUM_INVENTED):
            name = bytes([0x12, 0x20]) + bytes([number, invented] * 16)
            protocol.routing_table.add_or_update_node(beside(100 + invented), PeerID(name))

    rogue._run(turn())
    return rogue


@pytest.fixture(scope="module")
def coordinator():
    with start_peer() as peer:
        yield peer


@pytest.fixture(scope="module")
def surrounded(coordinator):
    """The addresses of the hostile peers."""
    rogues = [hostile(coordinator.addresses, number) for number in range(NUM_REPLICAS)]
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
        victim._thread.call(victim._node.dial_pinned(), timeout_s=60)
        assert victim.read("task") == [envelope]
        assert victim.publish(sealed_now(LEASE), 1)
