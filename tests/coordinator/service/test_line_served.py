"""A volunteer and a serving coordinator: by the line alone, over to the DHT and back. Real loop, peers in memory."""

from __future__ import annotations

import threading
import time
from dataclasses import fields

import pytest
from deadlines import DEADLINE_S
from hub_gate import wait_until
from line_world import LineWorld, make_beat, make_want
from memory_swarm import MemoryPeer
from test_service_clock import Idle
from test_service_loop import UnchangedRepo
from tick_world import run_of, submission, verdict

from paris.coordinator.children import Children
from paris.coordinator.service.executor import Workers
from paris.coordinator.service.line import LineDesk
from paris.coordinator.service.loop import Service
from paris.coordinator.service.publisher import Publisher
from paris.coordinator.service.swarm import DhtWay, SupervisedPeer
from paris.coordinator.service.ways import Ways
from paris.coordinator.state.model import State
from paris.coordinator.state.store import Store
from paris.node.retry import Backoff
from paris.node.swarm.connection import Swarm
from paris.node.swarm.ways import ways as node_ways
from paris.node.swarm.ways.dht import DhtWay as NodeDhtWay
from paris.node.swarm.ways.line import LineWay
from paris.protocol.clock import SteadyClock
from paris.protocol.errors import PeerError
from paris.protocol.outcome import Outcome
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity

NEVER_S = 3600.0


class Served:
    """A coordinator whose loop takes a step only when it is woken.

    Args:
        folder: Of its state.
    """

    def __init__(self, folder) -> None:
        self.facts = LineWorld(2, heartbeat_every_s=1.0)
        run_id, identity = self.facts.run_id, self.facts.identity
        sealer, wake = Sealer(identity, run_id), threading.Event()
        self.peer = SupervisedPeer(lambda: MemoryPeer.start(run_id=run_id, coordinator=identity.public_key), [].append)
        self.spec = self.facts.spec.model_copy(update={"initial_peers": tuple(self.peer.current.addresses)})
        self.run = sealer.seal(self.spec, 3600.0)
        self.desk = LineDesk(run_id, self.spec, sealer, wake, silent_after_s=NEVER_S, every_s=0.0)
        self.peer.on_start(lambda started: started.serve_line(self.desk))
        ways = Ways(self.spec, [], [self.desk, DhtWay(self.spec, self.peer, Publisher(sealer))], wake)
        self.store = Store(folder / "state.sqlite")
        self.store.save(State(), run_of(2), [], time.time())
        unused = dict.fromkeys(field.name for field in fields(Workers))
        self.service = Service(
            ways=ways,
            servers=[],
            store=self.store,
            executor=Idle(Workers(**unused | {"model_repo": UnchangedRepo()}), Children(folder / "logs"), [].append),
            policy=self.facts.policy,
            clock=SteadyClock(),
            log=[].append,
        )
        self._stop = threading.Event()
        self._loop = threading.Thread(target=self.service.run, args=(self._stop, NEVER_S))
        self._loop.start()

    def close(self) -> None:
        self._stop.set()
        self._loop.join(DEADLINE_S)
        self.peer.stop()
        self.store.close()


class Volunteer:
    """A node's connection and ways; either way can be cut.

    Args:
        served: The coordinator.
    """

    def __init__(self, served: Served) -> None:
        self.sealer = Sealer(Identity.generate(), served.facts.run_id)
        self.me = self.sealer.public_key
        self.swarm = Swarm(num_buckets=1, initial_peers=served.spec.initial_peers, start_peer=self._start(served))
        self.swarm.connect()
        self.line = LineWay(self.swarm, self.sealer, served.run, backoff=Backoff(first_s=0.01, cap_s=0.01))
        self.ways = node_ways.Ways([self.line, NodeDhtWay(self.swarm, self.me)])
        self._ask, self._store, self._read = self.swarm.ask_line, self.swarm.publish, self.swarm.read

    def _start(self, served: Served):
        return lambda addresses: MemoryPeer.start(
            run_id=served.facts.run_id,
            coordinator=served.facts.identity.public_key,
            initial_peers=addresses,
            client_mode=True,
        )

    def cut_line(self, is_cut: bool) -> None:
        def cut(*args, **kwargs):
            raise PeerError("The line is cut.")

        self.swarm.ask_line = cut if is_cut else self._ask

    def cut_dht(self) -> None:
        def cut(*args, **kwargs):
            raise AssertionError("The DHT is used.")

        self.swarm.publish = self.swarm.read = cut


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    served = Served(tmp_path_factory.mktemp("served"))
    yield served
    served.close()


@pytest.fixture
def volunteer(served):
    volunteer = Volunteer(served)
    yield volunteer
    volunteer.swarm.close()


def own_lease(volunteer: Volunteer):
    found = [envelope for envelope in volunteer.ways.read("lease") if envelope.payload.volunteer == volunteer.me]
    return found[-1] if found else None


def test_a_run_goes_by_the_line_alone(served, volunteer):
    volunteer.cut_dht()
    began = time.monotonic()
    assert volunteer.ways.publish(make_want(volunteer.sealer)) is Outcome.STORED
    sealed = wait_until(lambda: own_lease(volunteer), DEADLINE_S, "a lease")
    assert time.monotonic() - began < NEVER_S, "the want woke the loop"
    lease = sealed.payload
    record = submission(lease, 0, time.time()).envelope.payload
    record = record.model_copy(update={"lease": sealed.data.decode()})
    assert volunteer.ways.publish(volunteer.sealer.seal(record, 60.0)) is Outcome.STORED
    assert lease.lease_id in served.store.load().submissions, "a receipt says that it is on the disk"
    served.service._observed.append(verdict(lease, accepted=True))
    served.service._ways.wake.set()
    found = wait_until(lambda: volunteer.ways.read("verdict"), DEADLINE_S, "the verdict")
    assert [envelope.payload.accepted for envelope in found] == [True]


def test_a_cut_line_costs_no_work_and_is_used_again_when_it_is_back(served, volunteer):
    assert volunteer.ways.publish(make_want(volunteer.sealer)) is Outcome.STORED
    sealed = wait_until(lambda: own_lease(volunteer), DEADLINE_S, "a lease")
    volunteer.cut_line(True)
    assert volunteer.ways.publish(make_beat(volunteer.sealer, sealed, step=5)) is Outcome.STORED
    assert not volunteer.line.is_up
    served.service._ways.wake.set()
    wait_until(lambda: step_of(served, sealed) == 5, DEADLINE_S, "the heartbeat came through the DHT")
    assert own_lease(volunteer).payload == sealed.payload
    volunteer.cut_line(False)
    wait_until(lambda: volunteer.ways.read("run") and volunteer.line.is_up, DEADLINE_S, "the line is used again")


def step_of(served: Served, sealed) -> int:
    held = served.service.state.leases[sealed.payload.lease_id]
    return 0 if held.heartbeat is None else held.heartbeat.step
