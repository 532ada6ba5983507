"""Records by the model repo, with a real Hub between both ends: mailboxes, hostile ones among them, and the budget."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from hub_gate import MODELS, Gate, run_hub
from hub_way_world import COORDINATOR, EVERY_S, RUN_ID, SPEC, SUMMARY, TASK, Others, Volunteer, World, lease_of
from memory_swarm import MemoryPeer

from paris.coordinator.hub import HubLimits, HubServer, add_user
from paris.coordinator.run_hub.mailboxes import HubMailboxes
from paris.coordinator.service import mailboxes
from paris.coordinator.service.publisher import Publisher
from paris.coordinator.service.swarm import DhtWay as CoordinatorsDhtWay
from paris.coordinator.service.ways import Shown, Ways
from paris.node.swarm.connection import Swarm
from paris.node.swarm.ways.dht import DhtWay
from paris.node.swarm.ways.hub import HubWay, mailboxes_are_read
from paris.node.swarm.ways.ways import Ways as NodesWays
from paris.protocol.hub_layout import SWARM_RUN_FILE, swarm_file
from paris.protocol.outcome import Outcome
from paris.protocol.record_file import MAX_MAILBOX_RECORDS, max_file_bytes, pack_records
from paris.protocol.runid import make_run_id
from paris.protocol.sealer import Sealer
from paris.protocol.work_records import Submission


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    with HubServer(folder) as server:
        add_user(folder, "lab", "owner_token_owner_token", [])
        run_hub(server.url).ensure_repos()
        yield server, folder


@pytest.fixture
def world(server, request):
    hub, folder = server
    names = iter(f"{abs(hash(request.node.name))}-{number}" for number in range(100))

    def add_volunteer() -> str:
        name = next(names)
        add_user(folder, name, f"token_of_volunteer_{name}", [])
        return f"token_of_volunteer_{name}"

    with Gate(hub.port) as gate:
        made = World(gate, add_volunteer)
        yield made
        for mailbox in HubMailboxes(made.hub).found(100):
            HubMailboxes(made.hub).close(mailbox.number, "The test has ended.")


def test_a_want_becomes_a_lease_and_heartbeats_with_the_bytes_that_were_signed(world):
    ada, bob = world.volunteer(), world.volunteer()
    assert not mailboxes_are_read(ada.mailbox) or world.file(SWARM_RUN_FILE), "of an earlier test"
    world.tell()
    assert mailboxes_are_read(ada.mailbox)
    want = ada.want()
    assert ada.way.publish(want) is Outcome.STORED
    world.tell()
    assert [envelope.data for envelope in world.received("want")] == [want.data]

    world.tell(lease_of(bob, 1), lease_of(ada, 2))
    ada.clock.now += EVERY_S
    (lease,) = ada.way.read("lease")
    assert lease.payload.volunteer == ada.identity.public_key
    assert [envelope.payload for envelope in ada.way.read("task")] == [TASK]
    assert [envelope.payload for envelope in ada.way.read("run")] == [SPEC]
    assert [envelope.payload for envelope in ada.way.read("summary")] == [SUMMARY]
    assert ada.way.read("verdict") == []
    assert ada.way.is_up

    beat = ada.heartbeat(lease, 7)
    assert ada.way.publish(beat) is Outcome.STORED
    world.tell(lease_of(ada, 2))
    assert [envelope.data for envelope in world.received("heartbeat")] == [beat.data]
    assert len(world.received("want", "heartbeat")) == 2, "one commit holds all that is alive"
    assert world.file(swarm_file(bob.identity.public_key)) is None, "only those with a mailbox are written to"


def test_a_restarted_coordinator_finds_the_mailboxes_and_a_restarted_node_its_own(world):
    ada = world.volunteer()
    world.tell()
    ada.way.publish(ada.want())
    world.restart()
    world.tell()  # begins the branch anew
    world.tell()
    assert [envelope.signer for envelope in world.received("want")] == [ada.identity.public_key]
    again = Volunteer(ada.endpoint, ada.token, ada.identity)
    assert again.way.publish(again.want("busy")) is Outcome.STORED
    world.tell()
    assert [envelope.payload.state for envelope in world.received("want")] == ["busy"]
    assert len(HubMailboxes(world.hub).found(100)) == 1


def test_nothing_is_written_while_nobody_has_a_mailbox(world):
    world.tell()
    before = world.num_commits()
    world.tell(lease_of(world.volunteer()))
    world.tell()
    assert world.num_commits() == before


def test_a_node_takes_this_way_after_minutes_without_another_and_leaves_it_when_one_answers(world):
    ada = world.volunteer(patience_s=180.0, others=Others(is_up=True))
    world.tell()
    world.gate.seen.clear()
    assert ada.way.publish(ada.want()) is Outcome.UNANSWERED
    ada.others.is_up = False
    assert ada.way.read("lease") is None
    ada.clock.now += 179.0
    assert ada.way.publish(ada.want()) is Outcome.UNANSWERED
    assert world.gate.seen == [], "a short outage costs the Hub nothing"
    ada.clock.now += 1.0
    assert ada.way.publish(ada.want()) is Outcome.STORED
    assert ada.way.read("lease") == []
    ada.others.is_up = True
    assert ada.way.read("lease") is None
    assert not ada.way.is_up


def test_a_node_opens_no_mailbox_where_nobody_reads_it(world):
    world.tell()
    HubMailboxes(world.hub).begin()  # the branch is there, its files are gone
    ada = world.volunteer()
    assert ada.way.publish(ada.want()) is Outcome.UNANSWERED
    assert ada.way.read("lease") is None
    assert HubMailboxes(world.hub).found(100) == []


def test_a_coordinator_that_starts_again_is_waited_for_and_one_that_reads_no_more_is_not(world):
    ada = world.volunteer()
    world.tell()
    assert ada.way.publish(ada.want()) is Outcome.STORED
    HubMailboxes(world.hub).end()
    for _ in range(10):
        ada.clock.now += EVERY_S
        assert ada.way.read("lease") == []
    ada.clock.now += EVERY_S
    assert ada.way.read("lease") is None
    assert ada.way.publish(ada.want()) is Outcome.UNANSWERED
    world.restart()
    world.tell()
    ada.clock.now += 10 * EVERY_S
    assert ada.way.publish(ada.want()) is Outcome.STORED


def test_commits_are_few_and_the_next_one_holds_what_waited(world):
    ada = world.volunteer()
    world.tell()
    world.gate.seen.clear()
    for _ in range(20):
        newest = ada.want()
        assert ada.way.publish(newest) is Outcome.STORED
    commits = [path for _, path in world.gate.seen if "/commit/" in path]
    assert len(commits) == 3
    lease = Sealer(COORDINATOR, RUN_ID).seal(lease_of(ada), 900.0)
    assert ada.way.publish(ada.heartbeat(lease, 1)) is Outcome.STORED
    assert len([path for _, path in world.gate.seen if "/commit/" in path]) == 4, "what is new does not wait"
    newest = ada.want()
    ada.way.publish(newest)
    world.tell()
    assert world.received("want")[0].data != newest.data
    ada.clock.now += 2 * EVERY_S
    newest = ada.want()
    ada.way.publish(newest)
    world.tell()
    assert [envelope.data for envelope in world.received("want")] == [newest.data]


def test_a_hub_that_asks_for_patience_gets_it(world):
    ada = world.volunteer()
    world.tell()
    world.gate.instead = lambda method, path: 429
    world.gate.seen.clear()
    for _ in range(10):
        assert ada.way.read("lease") is None
        assert ada.way.publish(ada.want()) is Outcome.UNANSWERED
    assert len(world.gate.seen) == 1
    world.gate.instead = lambda method, path: None
    ada.clock.now += 600.0
    assert ada.way.publish(ada.want()) is Outcome.STORED


def forged(world, ada: Volunteer) -> dict[str, bytes]:
    """Contents of mailboxes with Ada's key in their title, none of which Ada wrote."""
    mallory = Volunteer(world.gate.url, ada.token)
    other_run = Sealer(ada.identity, make_run_id("other", COORDINATOR.public_key)).seal(ada.want().payload, 120.0)
    stolen = ada.want().payload
    idle = Submission(
        lease_id="1" * 32,
        task_id="expert-0",
        attempt=1,
        name="ada",
        repo=MODELS,
        pull_request=None,
        commit=None,
        files=({"path": "a", "sha256": "0" * 64, "bytes": 1},),
        steps=1,
        final_loss=0.0,
        commitment="0" * 64,
    )
    return {
        "signed by another key": pack_records([mallory.want().data]),
        "of another run": pack_records([other_run.data]),
        "without the work": pack_records([ada.sealer.seal(stolen.model_copy(update={"work": "0" * 16}), 120.0).data]),
        "without a lease": pack_records([ada.sealer.seal(idle, 120.0).data]),
        "the coordinator's": pack_records([Sealer(COORDINATOR, RUN_ID).seal(TASK, 120.0).data]),
        "too many": pack_records([ada.want().data] * (MAX_MAILBOX_RECORDS + 1)),
        "huge": b"[" + b" " * max_file_bytes(MAX_MAILBOX_RECORDS) + b"]",
        "no JSON": b"\xff\xfe",
        "another version": pack_records([]).replace(b'"version":1', b'"version":9'),
    }


def test_what_nobody_may_send_is_not_received_and_its_mailbox_is_closed(world, monkeypatch):
    monkeypatch.setattr(mailboxes, "_MOST_CLOSED", 100)
    ada = world.volunteer()
    world.tell()
    contents = forged(world, ada)
    numbers = {what: world.open_mailbox(ada.identity.public_key, data, ada.token) for what, data in contents.items()}
    world.tell()
    assert world.received("want", "heartbeat", "submission", "answer", "audit") == []
    assert {what: world.status(number) for what, number in numbers.items()} == dict.fromkeys(numbers, "closed")
    world.gate.seen.clear()
    world.tell()
    assert not [path for _, path in world.gate.seen if "/resolve/" in path], "a refused one is not read again"
    assert ada.way.publish(ada.want()) is Outcome.STORED
    world.tell()
    assert len(world.received("want")) == 1, "Ada's own still counts"


def test_a_crowd_of_mailboxes_takes_a_bounded_number_of_requests_and_no_place_of_the_proven(world, monkeypatch):
    monkeypatch.setattr(mailboxes, "_MOST_READ", 4)
    monkeypatch.setattr(mailboxes, "_MOST_CLOSED", 2)
    monkeypatch.setattr(mailboxes, "MAX_MAILBOXES", 2)
    world.tell()
    crowd = [world.volunteer() for _ in range(6)]
    for volunteer in crowd:
        assert volunteer.way.publish(volunteer.want()) is Outcome.STORED
    world.gate.seen.clear()
    world.tell()
    assert len([path for _, path in world.gate.seen if "/resolve/" in path]) == 4
    world.tell()
    assert len({envelope.signer for envelope in world.received("want")}) == 2
    ada = world.volunteer()
    lease = Sealer(COORDINATOR, RUN_ID).seal(lease_of(ada), 900.0)
    assert ada.way.publish(ada.heartbeat(lease, 3)) is Outcome.STORED
    for _ in range(3):
        world.tell(lease.payload)
    assert ada.identity.public_key in {envelope.signer for envelope in world.received("heartbeat")}
    assert world.file(swarm_file(ada.identity.public_key)) is not None


def test_the_mailbox_of_one_that_left_is_closed_and_its_file_removed(world, monkeypatch):
    ada = world.volunteer()
    world.tell()
    ada.way.publish(ada.want())
    world.tell()
    (mailbox,) = HubMailboxes(world.hub).found(100)
    assert world.file(swarm_file(ada.identity.public_key)) is not None
    later = time.time() + 120.0 + mailboxes._LEFT_AFTER_S + 1
    monkeypatch.setattr(world.way._mailboxes, "_clock", lambda: later)
    world.tell()
    assert world.status(mailbox.number) == "closed"
    assert world.file(swarm_file(ada.identity.public_key)) is None
    assert world.file(SWARM_RUN_FILE) is not None
    ada.clock.now += 2 * EVERY_S
    ada.way.publish(ada.want())  # the closed one takes no commit
    ada.clock.now += 600.0
    assert ada.way.publish(ada.want()) is Outcome.STORED
    assert [found.number for found in HubMailboxes(world.hub).found(100)] != [mailbox.number]


def test_a_mailbox_stays_known_behind_any_number_of_newer_pull_requests(tmp_path):
    with HubServer(tmp_path, limits=HubLimits(page_entries=1)) as server, Gate(server.port) as gate:
        add_user(tmp_path, "lab", "owner_token_owner_token", [])
        tokens = [f"token_of_volunteer_{name}" for name in ("ada", "bob")]
        for name, token in zip(("ada", "bob"), tokens, strict=True):
            add_user(tmp_path, name, token, [])
        run_hub(server.url).ensure_repos()
        world = World(gate, iter(tokens).__next__)
        ada, bob = world.volunteer(), world.volunteer()
        world.tell()
        for volunteer in (ada, bob):
            assert volunteer.way.publish(volunteer.want()) is Outcome.STORED
        assert len(HubMailboxes(world.hub).heads()) == 1
        world.tell()
        newest = ada.want("busy")
        assert ada.way.publish(newest) is Outcome.STORED
        world.tell()
        assert newest.data in [envelope.data for envelope in world.received("want")]
        assert HubMailboxes(world.hub).head_of(99) is None


def test_a_want_that_was_long_on_its_way_counts_as_new(world):
    ada = world.volunteer()
    world.tell()
    ada.way.publish(ada.want())
    world.tell()
    (observed,) = Ways(SPEC, [], [world.way]).observations()
    assert observed.age_s == 0.0


def test_records_go_over_to_the_hub_when_the_peers_are_gone_and_back_when_they_return(world):
    peer = MemoryPeer.start(run_id=RUN_ID, coordinator=COORDINATOR.public_key)
    sealer = Sealer(COORDINATOR, RUN_ID)
    dht = CoordinatorsDhtWay(SPEC, SimpleNamespace(current=peer), Publisher(sealer))
    coordinator, ada = Ways(SPEC, [], [dht, world.way]), world.volunteer(patience_s=180.0)

    def step(*more):
        """A step of the coordinator; the newest state that each volunteer's want told it."""
        wants = sorted((seen.envelope for seen in coordinator.observations()), key=lambda want: want.sequence)
        dht.show(Shown([SPEC, TASK, SUMMARY, *more], None))
        world.tell(*more)
        return {want.signer: want.payload.state for want in wants}

    step()
    swarm = Swarm(
        num_buckets=1,
        initial_peers=tuple(peer.addresses),
        start_peer=lambda peers: MemoryPeer.start(
            run_id=RUN_ID, coordinator=None, initial_peers=peers, client_mode=True
        ),
    )
    swarm.connect()
    by_dht = DhtWay(swarm, ada.identity.public_key)
    by_hub = HubWay(ada.mailbox, sealer.seal(SPEC, 900.0), [by_dht], clock=ada.clock)
    node = NodesWays([by_dht, by_hub])
    assert node.publish(ada.want()) is Outcome.STORED
    assert step() == {ada.identity.public_key: "waiting"}

    peer.is_cut = True
    assert [node.publish(ada.want("busy")) for _ in range(3)] == [Outcome.UNANSWERED] * 3
    ada.clock.now += 180.0
    assert node.publish(ada.want("busy")) is Outcome.STORED
    step(lease_of(ada))
    assert step(lease_of(ada)) == {ada.identity.public_key: "busy"}
    ada.clock.now += EVERY_S
    assert [lease.payload.volunteer for lease in node.read("lease")] == [ada.identity.public_key]
    assert by_hub.is_up

    peer.is_cut = False
    assert node.publish(ada.want("paused")) is Outcome.STORED
    assert not by_hub.is_up
    assert step() == {ada.identity.public_key: "paused"}
    swarm.close()
