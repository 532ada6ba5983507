"""What a node reads in the DHT: what is for it alone where the coordinator says that it is there, else everything."""

from __future__ import annotations

import pytest
from memory_swarm import MemoryPeer
from units import make_unit

from paris.node.swarm.connection import Swarm
from paris.node.swarm.ways.dht import DhtWay
from paris.protocol.runid import make_run_id
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity
from paris.protocol.summary import summarise

COORDINATOR = Identity.generate()
RUN = make_run_id("tiny", COORDINATOR.public_key)
ME, OTHER = "a" * 64, "b" * 64
SEALER = Sealer(COORDINATOR, RUN)


@pytest.fixture
def coordinator():
    with MemoryPeer.start(run_id=RUN, coordinator=COORDINATOR.public_key) as peer:
        yield peer


@pytest.fixture
def swarm(coordinator):
    def start(addresses):
        return MemoryPeer.start(run_id=RUN, coordinator=None, initial_peers=addresses, client_mode=True)

    swarm = Swarm(num_buckets=1, initial_peers=tuple(coordinator.addresses), start_peer=start)
    swarm.connect()
    yield swarm
    swarm.close()


def publish(coordinator: MemoryPeer, *records: object) -> None:
    assert all(coordinator.publish_many([SEALER.seal(record, 600.0) for record in records], 1))


def leases_of(way: DhtWay) -> list[str]:
    return [envelope.payload.volunteer for envelope in way.read("lease")]


def test_only_this_nodes_records_are_read_once_the_run_has_a_summary(coordinator, swarm):
    unit, now = make_unit(), [0.0]
    leases = [unit.lease.model_copy(update={"volunteer": who, "attempt": n}) for n, who in enumerate((ME, OTHER), 1)]
    publish(coordinator, unit.task, *leases)
    way = DhtWay(swarm, ME, lambda: now[0])
    assert leases_of(way) == [ME, OTHER], "an older coordinator tells everybody everything"
    publish(coordinator, summarise([unit.task]))
    assert leases_of(way) == [ME]
    assert way.read("verdict") == []
    publish(coordinator, leases[0].model_copy(update={"state": "revoked"}))
    assert [envelope.payload.state for envelope in way.read("lease")] == ["granted"], "read a moment ago"
    now[0] += 1.0
    assert [envelope.payload.state for envelope in way.read("lease")] == ["revoked"]
    assert [envelope.payload.task_id for envelope in way.read("task")] == [unit.task.task_id]
