"""What the coordinator tells over the line, to whom, and what it refuses: the real desk, judge and `tick`."""

from __future__ import annotations

from dataclasses import replace

import pytest
from line_world import ADDRESS, OTHER_ADDRESS, PEER, LineNode, LineWorld, reply_of
from tick_world import submission

from paris.coordinator.service import line as desk_module
from paris.node.swarm.ways import line as way_module
from paris.protocol.envelope import Envelope
from paris.protocol.line import mark_of, open_reply, pack, seal_request, unpack
from paris.protocol.outcome import Outcome
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity
from paris.protocol.want_work import do_work
from paris.protocol.work_records import Submission


@pytest.fixture
def world() -> LineWorld:
    return LineWorld()


def asked(world: LineWorld, sealer: Sealer, record: bytes | None = None, *, known=(), peer: str = "", **changes):
    """The reply to one request, made by hand; None where it is refused without one."""
    fields = {"run_id": world.run_id, "to": PEER, "at": world.now} | changes
    request = seal_request(sealer, known=known, record=record, **fields)
    taken = world.desk.take(request, to=PEER, peer=peer or sealer.public_key)
    return None if taken is None else open_reply(reply_of(taken))


def submission_of(node: LineNode) -> Envelope[Submission]:
    """Work that is handed in under the node's lease."""
    (lease,) = node.way.read("lease")
    record = submission(lease.payload, 0, node.world.now).envelope.payload
    return node.sealer.seal(record.model_copy(update={"lease": lease.data.decode()}), 240.0)


def test_a_want_is_answered_by_a_lease_with_its_task(world):
    ada = world.node()
    assert ada.way.publish(ada.want()) is Outcome.STORED
    (lease,) = (envelope.payload for envelope in ada.way.read("lease"))
    assert (lease.volunteer, lease.state, ada.num_requests) == (ada.me, "granted", 1)
    assert [envelope.payload.task_id for envelope in ada.way.read("task")] == [lease.task_id]
    assert [envelope.payload.num_leased for envelope in ada.way.read("summary")] == [1]


def test_who_waits_hears_its_place_and_holds_up_no_step(world):
    first, ada, ben = world.node(), world.node(), world.node()
    first.way.publish(first.want())
    for node in (ada, ben):
        node.way.publish(node.want())
        world.now += 1.0
    num_steps = world.num_steps
    places = [asked(world, node.sealer, node.want().data).head.place for node in (ada, ben)]
    assert (places, world.num_steps) == ([1, 2], num_steps)
    assert (ada.way.place, ben.way.place, first.way.place) == (1, 2, None)
    assert [envelope.kind for envelope in ben.way.read("lease")] == []


def test_nothing_is_sent_twice_though_it_is_sealed_anew(world):
    ada = world.node()
    ada.way.publish(ada.want())
    told = [
        mark_of(world.spec),
        *(mark_of(e.payload) for kind in ("lease", "task", "summary") for e in ada.way.read(kind)),
    ]
    for seconds in (1.0, 400.0):
        world.now += seconds
        reply = asked(world, ada.sealer, known=told)
        assert (reply.records, reply.head.gone) == ((), ())
    assert len(asked(world, ada.sealer, known=told[:1]).records) == 3


def test_a_lease_that_is_taken_back_is_told_with_the_next_heartbeat(world):
    ada = world.node()
    ada.way.publish(ada.want())
    (lease,) = (envelope.payload for envelope in ada.way.read("lease"))
    beat = ada.beat()
    world.revoke(lease.lease_id)
    assert ada.way.publish(beat) is Outcome.STORED
    assert [envelope.payload.state for envelope in ada.way.read("lease")] == ["revoked"]


def test_what_the_coordinator_does_not_tell_any_more_is_forgotten(world):
    ada = world.node()
    ada.way.publish(ada.want())
    assert len(ada.way.read("lease")) == 1
    world.state = LineWorld().state  # as if it was restored from a backup
    world.ways.publish(world.state)
    world.now += 3600.0
    assert ada.way.read("lease") == []


def test_a_heartbeat_is_taken_in_by_the_next_step_and_only_once(world):
    ada = world.node()
    ada.way.publish(ada.want())
    num_steps = world.num_steps
    ada.way.publish(ada.beat(step=7))
    assert world.num_steps == num_steps, "mere progress wakes nobody"
    assert [type(seen).__name__ for seen in world.ways.observations()] == ["HeartbeatReceived"]
    assert [type(seen).__name__ for seen in world.ways.observations()] == ["HeartbeatReceived"], "no step was saved"
    world.step()
    (held,) = world.state.leases.values()
    assert held.heartbeat.step == 7
    assert list(world.ways.observations()) == []


def test_a_record_without_a_step_in_time_has_no_receipt_and_is_not_lost(world):
    ada = world.node()
    ada.way.publish(ada.want())
    record = submission_of(ada)
    request = seal_request(ada.sealer, run_id=world.run_id, to=PEER, known=(), record=record.data, at=world.now)
    taken = world.desk.take(request, to=PEER, peer=ada.me)
    assert not taken.reply.done()
    world.desk.hurry(taken)
    assert open_reply(reply_of(taken)).head.outcome == "full"
    world.step()
    assert list(world.state.submissions) == [record.payload.lease_id]


@pytest.mark.parametrize(
    "changes",
    [{"run_id": "other-0123456789abcdef"}, {"to": ADDRESS}, {"at": 1_000_000.0}, {"at": 10_000_000_000.0}],
    ids=["another run", "another peer", "old", "from the future"],
)
def test_a_request_that_is_not_meant_for_it_now_gets_no_reply(world, changes):
    ada = world.node()
    assert asked(world, ada.sealer) is not None
    assert asked(world, ada.sealer, **changes) is None


def test_a_changed_request_gets_no_reply(world):
    ada, ben = world.node(), world.node()
    head, record = unpack(
        seal_request(ada.sealer, run_id=world.run_id, to=PEER, known=(), record=ada.want().data, at=world.now),
        max_parts=2,
    )
    forged = pack([head.replace(ada.me.encode(), ben.me.encode()), record])
    for message in (forged, pack([head]) + b"\x00", b"", b"\xff" * 64, pack([b"{}"]), pack([head, record, record])):
        assert world.desk.take(message, to=PEER, peer="mallory") is None
    assert world.desk.take(pack([head, record]), to=PEER, peer="ada") is not None


def test_a_record_is_judged_as_by_the_peers_of_the_dht(world):
    ada, ben = world.node(), world.node()
    first, second = ada.want(), ada.want("paused")
    ada.way.publish(first)
    beat = ada.beat()
    foreign = ben.sealer.seal(beat.payload, 60.0)
    alone = ada.sealer.seal(beat.payload.model_copy(update={"lease": None}), 60.0)
    cases = {
        "stored": [asked(world, ada.sealer, second.data)],
        "stale-sequence": [asked(world, ada.sealer, first.data)],
        "foreign-lease": [asked(world, ben.sealer, foreign.data)],
        "no-lease": [asked(world, ada.sealer, alone.data)],
        "wrong-kind": [asked(world, ada.sealer, world.sealer.seal(world.spec, 60.0).data)],
        "malformed": [asked(world, ada.sealer, b"[]"), asked(world, ada.sealer, b'{"kind":1}')],
        "wrong-subkey": [asked(world, ben.sealer, ada.want().data)],
        "bad-signature": [asked(world, ada.sealer, beat.data.replace(b'"step":1', b'"step":9'))],
    }
    for reason, replies in cases.items():
        for reply in replies:
            assert (reason, reply.head.outcome) == (reason, "stored" if reason == "stored" else "refused")
            assert reply.head.reason.startswith("" if reason == "stored" else f"{reason}: ")


def test_a_want_needs_the_work_that_the_run_asks_for():
    world = LineWorld(want_work_bits=8)
    ada = world.node()
    assert asked(world, ada.sealer, ada.want().data).head.reason.startswith("no-work: ")
    world.now += 1.0
    assert ada.way.publish(ada.want(work=do_work(world.run_id, ada.me, 8))) is Outcome.STORED


def test_a_key_or_a_peer_that_asks_too_often_is_not_served(world):
    ada, ben = world.node(), world.node()
    replies = [asked(world, ada.sealer, ada.want("paused").data, peer=str(n)) for n in range(40)]
    assert [reply.head.outcome for reply in replies] == ["stored"] * 30 + ["full"] * 10
    assert asked(world, ben.sealer).head.outcome == "none"
    keys = [Sealer(Identity.generate(), world.run_id, world.clock) for _ in range(40)]
    replies = [asked(world, key, peer="one") for key in keys]
    assert [reply is None for reply in replies] == [False] * 30 + [True] * 10
    world.now += 11.0
    assert asked(world, ada.sealer, ada.want("paused").data).head.outcome == "stored"
    assert asked(world, keys[0], peer="one") is not None


def test_a_crowd_of_wants_is_told_to_come_again_and_keeps_out_nobody_with_a_lease(world, monkeypatch):
    monkeypatch.setattr(desk_module, "_MOST_WANTS", 3)
    ada = world.node()
    ada.way.publish(ada.want())
    crowd = [world.node() for _ in range(6)]
    heads = [asked(world, node.sealer, node.want("paused").data).head for node in crowd]
    assert [head.outcome for head in heads] == ["stored"] * 3 + ["full"] * 3
    assert heads[-1].ask_again_s == 10.0
    assert ada.way.publish(ada.beat()) is Outcome.STORED
    world.step()
    assert asked(world, crowd[-1].sealer, crowd[-1].want("paused").data).head.outcome == "stored"


def test_where_many_are_present_each_asks_less_often(world):
    ada = world.node()
    assert asked(world, ada.sealer).head.ask_again_s == 20.0
    known = world.node()
    known.way.publish(known.want())
    (one,) = world.state.volunteers.values()
    crowd = {f"{n:064x}": one.model_copy(update={"public_key": f"{n:064x}"}) for n in range(1000)}
    world.state = type(world.state)(tasks=world.state.tasks, volunteers=crowd)
    world.ways.publish(world.state)
    assert asked(world, ada.sealer).head.ask_again_s == 50.0


def test_a_node_whose_line_is_cut_lets_it_rest_and_comes_back(world):
    ada = world.node()
    ada.initial_peers = (OTHER_ADDRESS, ADDRESS)
    ada.is_cut = True
    assert ada.way.publish(ada.want()) is Outcome.UNANSWERED
    assert (ada.way.read("lease"), ada.way.is_up, ada.num_requests) == (None, False, 2)
    ada.is_cut = False
    assert ada.way.publish(ada.want()) is Outcome.UNANSWERED, "it rests"
    assert ada.num_requests == 2
    world.now += 6.0
    assert ada.way.publish(ada.want()) is Outcome.STORED
    assert len(ada.way.read("lease")) == 1
    assert ada.way.is_up


def test_what_the_coordinator_has_on_its_disk_is_not_sent_again_at_each_period(world):
    ada = world.node()
    ada.way.publish(ada.want())
    record = submission_of(ada).payload
    for _ in range(3):
        world.now += 60.0
        assert ada.way.publish(ada.sealer.seal(record, 240.0)) is Outcome.STORED
    assert ada.num_requests == 2
    assert list(world.state.submissions) == [record.lease_id]
    world.now += 600.0
    ada.way.publish(ada.sealer.seal(record, 240.0))
    assert ada.num_requests == 3


@pytest.mark.parametrize("at_work", [False, True], ids=["waiting", "training"])
def test_an_hour_of_a_volunteer_takes_less_than_300_kilobytes_whatever_the_number_of_experts(at_work, monkeypatch):
    monkeypatch.setattr(way_module.random, "uniform", lambda least, most: 1.0)

    def bytes_an_hour(num_tasks: int) -> float:
        world = LineWorld(num_tasks)
        if not at_work:
            closed = {name: task.waiting() for name, task in world.state.tasks.items()}
            world.state = replace(world.state, tasks=closed)
        ada = world.node()
        ada.way.publish(ada.want())
        before, minutes = ada.num_bytes, 12
        for second in range(minutes * 60):
            world.now += 1.0
            if second % 60 == 0:
                ada.way.publish(ada.want("busy" if at_work else "waiting"))
                if at_work:
                    ada.way.publish(ada.beat(step=second + 1))
            ada.way.read("lease")
            if second % 30 == 0:
                world.step()
        assert ada.way.is_up
        return (ada.num_bytes - before) * 60 / minutes

    few, many = bytes_an_hour(4), bytes_an_hour(64)
    assert few < 300_000
    assert many == pytest.approx(few, rel=0.05)
