"""Shards between volunteers: real DHT peers, real streams, a real Hub over HTTP; some of them misbehave."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from sharing_world import Misbehaving, World

from paris.node.bandwidth import Bandwidth
from paris.node.errors import HubUnreachableError, StoppedError
from paris.node.sharing.members import usable
from paris.protocol.shard_request import Reply, ShardStatus, seal_request
from paris.protocol.signing import Identity


@pytest.fixture
def world(file_hub, tmp_path):
    world = World(tmp_path, file_hub)
    yield world
    world.close()


def ask(world, asking, asked, sha256, *, identity=None, to=None, offset=0, run_id=None) -> ShardStatus:
    """Put one question, true but for what is told otherwise."""
    peer = asked.swarm._peer
    question = seal_request(
        identity or asking.identity,
        run_id=run_id or world.run_id,
        to=to or peer.peer_id,
        sha256=sha256,
        offset=offset,
        at=time.time(),
    )
    stream = asking.swarm.ask_for_shard(peer.addresses[0], question, timeout_s=5)
    stream.close()
    return stream.status


def test_a_second_volunteer_takes_everything_from_the_first_and_nothing_from_the_hub(world):
    first, second = world.volunteer(), world.volunteer(listens=False)
    first.fetch_all()
    assert len(world.hub_requests) == len(world.files)
    second.fetch_all()
    assert len(world.hub_requests) == len(world.files)
    assert second.fetcher.bytes_received == 0
    assert second.fetcher.bytes_from_peers == sum(shard.bytes for shard in world.shards)


def test_volunteers_that_begin_together_get_each_shard_from_the_hub_once(world):
    volunteers = [world.volunteer() for _ in range(3)]
    together = threading.Barrier(len(volunteers))

    def work(volunteer) -> None:
        together.wait()
        volunteer.fetch_all()

    threads = [threading.Thread(target=work, args=(volunteer,)) for volunteer in volunteers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(world.hub_requests) == sorted(wanted.path for wanted in world.files)
    assert [v.fetcher.bytes_received + v.fetcher.bytes_from_peers for v in volunteers] == [800_000] * 3


def test_a_peer_has_it_while_the_hub_is_down(world):
    first, second = world.volunteer(), world.volunteer()
    first.fetch_all()
    world.hub.faults.update({wanted.path: [503] * 99 for wanted in world.files})
    second.fetch_all()
    assert second.fetcher.bytes_received == 0


def test_without_sharing_the_hub_is_the_only_source(world):
    first, second = world.volunteer(), world.volunteer(shares=False)
    first.fetch_all()
    second.fetch_all()
    assert len(world.hub_requests) == 2 * len(world.files)
    world.hub.faults.update({wanted.path: [503] * 99 for wanted in world.files})
    with pytest.raises(HubUnreachableError):
        world.volunteer(shares=False).fetch_all()


def test_a_volunteer_that_does_not_share_answers_no_question(world):
    first, second = world.volunteer(shares=False), world.volunteer()
    first.fetch_all()
    with pytest.raises(ConnectionError, match="serves no shards"):
        ask(world, second, first, world.files[0].sha256)


def test_wrong_bytes_are_never_taken_and_their_sender_is_never_asked_again(world, tmp_path):
    lie = tmp_path / "lie"
    lie.write_bytes(bytes(world.files[0].num_bytes))
    rogue = Misbehaving(lambda question: reply_with(lie, question, world))
    world.volunteer(server=rogue)
    honest = world.volunteer(parallel=1)
    honest.fetch_all()
    assert rogue.num_asked == 1
    assert len(world.hub_requests) == len(world.files)
    assert sorted(path.name for path in honest.cache.path.iterdir()) == sorted(f.sha256 for f in world.files)


def reply_with(path: Path, question: bytes, world: World) -> Reply:
    offset = json.loads(question)["offset"]
    return Reply(ShardStatus.HERE, path, offset, world.files[0].num_bytes - offset)


def test_a_peer_that_stops_in_the_middle_is_left_and_another_goes_on_from_there(world, tmp_path):
    wanted = world.files[0]
    half = tmp_path / "half"
    half.write_bytes(world.hub.files[wanted.path][:70_000])
    world.volunteer(server=Misbehaving(lambda question: reply_with(half, question, world)))
    last = world.volunteer(listens=False)
    assert last.begin().try_take(wanted, lambda num_bytes: None) == "hub"
    assert last.cache.peer_part(wanted.sha256).stat().st_size == 70_000
    world.volunteer(cache=tmp_path / "whole").fetch_all()
    received: list[int] = []
    again = world.volunteer(listens=False, cache=last.cache.path, identity=last.identity)  # as after a restart
    taking = again.begin()
    assert any(taking.try_take(wanted, received.append) == "taken" for _ in range(2))
    assert sum(received) == wanted.num_bytes - 70_000
    assert again.cache.find(wanted.sha256, wanted.num_bytes)


def test_a_file_of_two_senders_with_a_wrong_hash_is_begun_again(world):
    wanted = world.files[0]
    world.volunteer().fetch_all()
    second = world.volunteer(listens=False)
    second.cache.peer_part(wanted.sha256).write_bytes(bytes(1000))
    taking = second.begin()
    assert taking.try_take(wanted, lambda num_bytes: None) == "wait"
    assert not second.cache.peer_part(wanted.sha256).exists()
    assert taking.try_take(wanted, lambda num_bytes: None) == "taken"


def test_a_slow_peer_is_left_for_the_hub(world):
    wanted = world.files[0]
    data = world.folder / "data"
    data.write_bytes(world.hub.files[wanted.path])
    slow = Misbehaving(lambda question: reply_with(data, question, world), pace_s=3600)
    world.volunteer(server=slow)
    honest = world.volunteer(parallel=1)
    honest.fetch_all()
    assert slow.num_asked == 1
    assert honest.fetcher.bytes_from_peers == 0


def test_a_peer_that_trickles_is_left_too(world):
    """By an injected clock on which every look takes a second: the bytes that came meanwhile are too few."""
    wanted = world.files[0]
    world.volunteer().fetch_all()
    second = world.volunteer(listens=False)
    taking, ticks = second.begin(), iter(range(10**6))
    taking.clock = lambda: float(next(ticks))
    taking.patience = type(taking.patience)(answer_s=0.5, slow_bytes_per_s=1e9)
    assert taking.try_take(wanted, lambda num_bytes: None) == "hub"
    assert 0 < second.cache.peer_part(wanted.sha256).stat().st_size < wanted.num_bytes


def test_a_peer_that_cannot_be_reached_is_passed_over(world):
    gone = world.volunteer()
    gone.begin()
    gone.swarm.close()
    other = world.volunteer()
    other.fetch_all()
    assert other.fetcher.bytes_from_peers == 0


def test_only_shards_of_the_manifests_are_served_and_only_to_volunteers_with_a_lease(world):
    first, second = world.volunteer(), world.volunteer()
    stranger = world.volunteer(has_lease=False)
    first.fetch_all()
    sha256 = world.files[0].sha256
    secret = first.cache.file("0" * 64)
    secret.write_bytes(b"something else that this volunteer downloaded")
    assert ask(world, second, first, sha256) is ShardStatus.HERE
    assert ask(world, second, first, "0" * 64) is ShardStatus.REFUSED
    assert ask(world, stranger, first, sha256) is ShardStatus.REFUSED
    assert ask(world, second, first, sha256, to=second.swarm._peer.peer_id) is ShardStatus.REFUSED
    assert ask(world, second, first, sha256, run_id="other-0123456789abcdef") is ShardStatus.REFUSED
    assert ask(world, second, first, sha256, offset=10**9) is ShardStatus.REFUSED
    assert ask(world, second, first, sha256, identity=Identity.generate()) is ShardStatus.REFUSED


@pytest.mark.parametrize("question", [b"", b"{}", b"\x00" * 1024, b"x" * 100_000], ids=["empty", "{}", "zeros", "long"])
def test_a_question_that_is_none_gets_no_bytes(world, question):
    first, second = world.volunteer(), world.volunteer()
    first.fetch_all()
    peer = first.swarm._peer
    try:
        stream = second.swarm.ask_for_shard(peer.addresses[0], question, timeout_s=5)
    except ConnectionError as error:
        assert "hung up" in str(error)  # noqa: PT017 - one of two right answers
    else:
        assert (stream.status, stream.num_bytes) == (ShardStatus.REFUSED, 0)
    assert ask(world, second, first, world.files[0].sha256) is ShardStatus.HERE


def test_no_more_is_sent_at_a_time_than_the_volunteer_allows(world):
    first = world.volunteer(max_uploads=2)
    first.fetch_all()
    host, questions = first_host(first), []
    for asking in (world.volunteer(listens=False) for _ in range(3)):
        for wanted in world.files[:2]:
            peer_id = first.swarm._peer.peer_id
            numbers = {"run_id": world.run_id, "to": peer_id, "sha256": wanted.sha256, "offset": 0, "at": time.time()}
            questions.append(seal_request(asking.identity, **numbers))
    replies = [host.answer(question) for question in questions]
    here, busy = ShardStatus.HERE, ShardStatus.BUSY
    assert [reply.status for reply in replies] == [here, busy, here, busy, busy, busy]
    host.release(replies[0])
    assert host.answer(questions[5]).status is here


def first_host(volunteer):
    """The host of a volunteer, as its peer got it."""
    from paris.node.sharing.host import ShardHost

    return ShardHost(
        volunteer.sharing.board,
        volunteer.sharing._members,
        run_id=volunteer.world.run_id,
        peer_id=volunteer.swarm._peer.peer_id,
        upload=Bandwidth(),
        max_uploads=2,
    )


class Clock:
    """A clock that waiting moves on."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def test_the_download_limit_holds_for_the_hub_and_peers_together(world):
    first, second = world.volunteer(), world.volunteer(listens=False, parallel=1)
    first.fetch_all(world.files[:2])
    first.sharing.board.want(())
    clock = Clock()
    second.fetcher.bandwidth = Bandwidth(50_000, clock)
    second.fetcher.pause = clock.pause
    second.fetch_all()
    assert (second.fetcher.bytes_from_peers, second.fetcher.bytes_received) == (400_000, 400_000)
    assert (clock.now - 100.0) * 50_000 == pytest.approx(800_000, abs=1)


def test_the_upload_limit_is_kept_to_the_byte():
    clock = Clock()
    upload, sent = Bandwidth(1000, clock), 0
    clock.now += 3600  # an idle hour saves up one second's worth, no more
    began = clock.now
    for _ in range(50):
        clock.pause(upload.wait_s(130))
        sent += 130
        assert sent <= 1000 * (1 + clock.now - began) + 1e-6
    assert clock.now - began == pytest.approx((sent - 1000) / 1000)


def test_a_restart_in_the_middle_of_a_download_goes_on_where_it_was(world):
    first, second = world.volunteer(), world.volunteer(listens=False, parallel=1)
    first.fetch_all()
    received: list[int] = []
    wanted = world.files[0]

    def cut(num_bytes: int) -> None:
        received.append(num_bytes)
        raise StoppedError("Stopped.")

    with pytest.raises(StoppedError):
        second.begin().try_take(wanted, cut)
    again = world.volunteer(listens=False, parallel=1, cache=second.cache.path, identity=second.identity)
    again.fetch_all()
    assert again.fetcher.bytes_from_peers == 800_000 - received[0]


def test_a_volunteer_that_is_asked_says_what_it_is_about_to_fetch(world):
    first, second = world.volunteer(), world.volunteer()
    sha256 = world.files[0].sha256
    taking = first.begin()
    assert ask(world, second, first, sha256) is ShardStatus.WANTED
    with taking.fetching(sha256):
        assert ask(world, second, first, sha256) is ShardStatus.FETCHING
        assert second.begin().try_take(world.files[0], lambda num_bytes: None) == "wait"
    taking.want_no_more()
    assert ask(world, second, first, sha256) is ShardStatus.ABSENT
    assert second.begin().try_take(world.files[0], lambda num_bytes: None) == "hub"


def test_patience_with_peers_ends_at_the_hub(world):
    server = Misbehaving(lambda question: Reply(ShardStatus.FETCHING))
    world.volunteer(server=server)
    second, clock = world.volunteer(parallel=1), Clock()
    second.fetcher.clock, second.fetcher.pause = clock, clock.pause
    second.fetch_all()
    assert second.fetcher.bytes_received == 800_000
    assert 120 <= clock.now - 100 < 140  # for all files together
    asked = server.num_asked
    assert second.fetcher.peers.try_take(world.files[0], lambda num_bytes: None) == "hub"
    assert server.num_asked == asked > 10


def test_a_peer_that_was_replaced_is_served_by_again(world):
    first, second = world.volunteer(), world.volunteer(listens=False)
    first.fetch_all()
    first.swarm.close()
    first.swarm.connect()
    assert ask(world, second, first, world.files[0].sha256) is ShardStatus.HERE


def test_in_a_run_on_the_internet_only_addresses_of_the_internet_are_told_and_dialled():
    tail = "/p2p/12D3KooWGRUVh2RdAyn2vKTA7kZzRbdLh8FdLuwuMjyJPDzBq1mR"
    mine = tuple(f"{where}/tcp/4001{tail}" for where in ("/ip4/127.0.0.1", "/ip4/192.168.1.7", "/ip4/8.8.8.8"))
    assert usable(mine, [f"/ip4/9.9.9.9/tcp/1{tail}"]) == mine[2:]
    assert usable(mine, [f"/dns4/run.example/tcp/1{tail}"]) == mine[2:]
    assert usable(mine, [f"/ip4/192.168.1.2/tcp/1{tail}"]) == mine
    assert usable([f"/ip4/8.8.8.8/udp/4001/quic{tail}", "/unix/x", ""], []) == ()
