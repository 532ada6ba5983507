"""The line of a coordinator whose steps fail, or that does not lead any more: volunteers turn elsewhere."""

from __future__ import annotations

import pytest
from line_world import ADDRESS, OTHER_ADDRESS, PEER, LineNode, LineWorld, reply_of
from tick_world import submission

from paris.coordinator.errors import DeposedError, SignerError
from paris.coordinator.service import line as desk_module
from paris.coordinator.service.ways import Shown
from paris.coordinator.service.ways import Ways as CoordinatorWays
from paris.node.swarm.connection import Swarm
from paris.node.swarm.ways.line import LineWay
from paris.node.swarm.ways.ways import Ways
from paris.protocol.errors import PeerError
from paris.protocol.line import Taken, seal_request
from paris.protocol.outcome import Outcome


class OtherWay:
    """Stores all that it is given, as the DHT does."""

    name, look_s, place, is_up = "other", 5.0, None, True

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def publish(self, envelope):
        self.kinds.append(envelope.kind)
        return Outcome.STORED

    def read(self, kind):
        return []


def without_steps(node: LineNode) -> list[str]:
    """Let the node's requests wait in vain for a step at every address; those that it asks."""
    asked: list[str] = []

    def ask(address: str, request: bytes, *, timeout_s: float) -> bytes:
        asked.append(address)
        taken = node.world.desk.take(request, to=PEER, peer=address)
        node.world.desk.hurry(taken)
        return reply_of(taken)

    node.ask_line = ask
    return asked


def test_without_steps_the_line_falls_silent_and_records_go_another_way():
    world = LineWorld(silent_after_s=60.0)
    ada, other = world.node(), OtherWay()
    ways = Ways([ada.way, other])
    ways.publish(ada.want())
    world.now += 59.0
    assert (ways.publish(ada.beat()), other.kinds) == (Outcome.STORED, [])
    world.now += 2.0
    assert (ways.publish(ada.want("busy")), other.kinds) == (Outcome.STORED, ["want"])
    assert not ada.way.is_up
    world.step()
    world.now += 10.0
    assert (ways.publish(ada.want("busy")), other.kinds) == (Outcome.STORED, ["want"])
    assert ada.way.is_up


@pytest.mark.parametrize(("kind", "goes_on"), [("submission", True), ("want", False)])
def test_only_what_a_disk_must_keep_goes_on_from_a_coordinator_that_is_full(kind, goes_on, monkeypatch):
    world, other = LineWorld(), OtherWay()
    ada = world.node()
    ada.way.publish(ada.want())
    (lease,) = ada.way.read("lease")
    work = submission(lease.payload, 0, world.now).envelope.payload
    record = ada.sealer.seal(work.model_copy(update={"lease": lease.data.decode()}), 240.0)
    monkeypatch.setattr(desk_module, "_MOST_PENDING", 0)
    ada.initial_peers = (ADDRESS, OTHER_ADDRESS)
    asked = without_steps(ada)
    ways = Ways([ada.way, other])
    outcome = ways.publish(record if kind == "submission" else ada.want("busy"))
    assert asked == [ADDRESS, OTHER_ADDRESS][: 2 if goes_on else 1]
    assert (outcome, other.kinds) == ((Outcome.STORED, [kind]) if goes_on else (Outcome.FULL, []))


def test_a_node_asks_a_coordinator_that_came_after_it_had_joined():
    world = LineWorld()
    ada, kept = world.node(), []
    swarm = Swarm(
        num_buckets=1, initial_peers=(ADDRESS,), start_peer=None, remember=lambda run: kept.append(run) or run
    )
    swarm.ask_line = ada.ask_line
    ada.way = LineWay(swarm, ada.sealer, world.sealer.seal(world.spec, 900.0), world.clock, world.clock)
    ada.way.publish(ada.want())
    world.ways.describe(world.spec.model_copy(update={"initial_peers": (ADDRESS, OTHER_ADDRESS)}))
    world.step()
    ada.way.publish(ada.want("busy"))
    assert swarm.initial_peers == (ADDRESS, OTHER_ADDRESS)
    assert [run.payload.initial_peers for run in kept] == [swarm.initial_peers]
    ada.is_cut = True
    num_requests = ada.num_requests
    assert ada.way.publish(ada.want("busy")) is Outcome.UNANSWERED
    assert ada.num_requests == num_requests + 2


class LostSigner:
    """A key in another process, which is gone."""

    def __init__(self, public_key: str) -> None:
        self.public_key = public_key

    def sign(self, message: bytes) -> bytes:
        raise SignerError("No signer answers.")


def test_who_waits_is_refused_at_once_where_nothing_can_be_signed():
    world = LineWorld()
    *nodes, late = (world.node() for _ in range(3))
    world.sealer._identity = LostSigner(world.identity.public_key)
    taken = [take(node) for node in nodes]
    assert [one.reply.done() for one in taken] == [False, False]
    world.step()
    for one in taken:
        with pytest.raises(PeerError, match="No signer answers"):
            one.reply.result(timeout=0)
    world.now += 400.0
    with pytest.raises(PeerError):
        take(late, with_want=False).reply.result(timeout=0)
    world.sealer._identity = world.identity
    assert nodes[0].way.publish(nodes[0].want()) is Outcome.STORED


def take(node: LineNode, *, with_want: bool = True, state: str = "waiting") -> Taken:
    record = node.want(state).data if with_want else None
    request = seal_request(node.sealer, run_id=node.world.run_id, to=PEER, known=(), record=record, at=node.world.now)
    taken = node.world.desk.take(request, to=PEER, peer=ADDRESS)
    assert taken is not None
    return taken


def test_a_way_that_fails_keeps_the_state_from_no_other_and_the_step_fails():
    world, shown = LineWorld(), []

    class Way:
        def __init__(self, error: Exception | None = None) -> None:
            self.error = error

        def show(self, records: Shown) -> None:
            shown.append(self)
            if self.error is not None:
                raise self.error

    broken, deposed, whole = Way(SignerError("No signer answers.")), Way(DeposedError("Another leads.")), Way()
    with pytest.raises(SignerError):
        CoordinatorWays(world.spec, [], [broken, whole]).publish(world.state)
    with pytest.raises(DeposedError):
        CoordinatorWays(world.spec, [], [broken, deposed, whole]).publish(world.state)
    assert shown == [broken, whole, broken, deposed]


def test_one_key_wakes_the_loop_once_between_two_regular_steps():
    world = LineWorld(every_s=5.0)
    first, ada, ben = (world.node() for _ in range(3))
    first.way.publish(first.want())
    world.wake.clear()
    num_wakes = 0
    for _ in range(12):
        for state in ("waiting", "busy"):
            world.now += 0.4
            take(ada, state=state)
            num_wakes += world.wake.is_set()
            world.wake.clear()
        world.step()
    assert num_wakes == 2
    take(ben)
    assert world.wake.is_set(), "others are not held up by it"


def test_a_record_whose_lease_is_over_wakes_nobody():
    world = LineWorld()
    ada = world.node()
    ada.way.publish(ada.want())
    given_up, again = ada.beat(state="failed"), ada.beat(step=2, state="failed")
    world.wake.clear()
    ada.way.publish(given_up)
    assert world.wake.is_set()
    assert "revoked" in [envelope.payload.state for envelope in ada.way.read("lease")]
    world.wake.clear()
    request = seal_request(ada.sealer, run_id=world.run_id, to=PEER, known=(), record=again.data, at=world.now)
    taken = world.desk.take(request, to=PEER, peer=ada.me)
    assert not world.wake.is_set()
    world.step()
    assert taken.reply.done()
