"""Volunteers that lie, stop in the middle, are slow, out of reach, or put others off for ever."""

from __future__ import annotations

import random
import threading

import pytest
from deadlines import DEADLINE_S
from sharing_world import QUICK, Clock, Misbehaving, ask, reply_with, soon

from paris.node.errors import DiskFullError, StoppedError
from paris.protocol.dht import shards, stream_places
from paris.protocol.dht.peer import Peer
from paris.protocol.shard_request import Reply, ShardStatus


@pytest.fixture
def peer_class():
    return Peer  # here the streams themselves are tested


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


def test_a_peer_that_stops_in_the_middle_is_left_and_another_goes_on_from_there(world, tmp_path):
    wanted = world.files[0]
    half = tmp_path / "half"
    half.write_bytes(world.hub.files[wanted.path][:70_000])
    world.volunteer(server=Misbehaving(lambda question: reply_with(half, question, world)))
    last = world.volunteer(listens=False)
    assert last.begin().try_take(wanted, lambda num_bytes: None, soon) == "hub"
    assert last.cache.peer_part(wanted.sha256).stat().st_size == 70_000
    world.volunteer(cache=tmp_path / "whole").fetch_all()
    received: list[int] = []
    again = world.volunteer(listens=False, cache=last.cache.path, identity=last.identity)  # as after a restart
    taking = again.begin()
    assert any(taking.try_take(wanted, received.append, soon) == "taken" for _ in range(2))
    assert sum(received) == wanted.num_bytes - 70_000
    assert again.cache.find(wanted.sha256, wanted.num_bytes)


def test_a_file_of_two_senders_with_a_wrong_hash_is_begun_again(world):
    wanted = world.files[0]
    world.volunteer().fetch_all()
    second = world.volunteer(listens=False)
    second.cache.peer_part(wanted.sha256).write_bytes(bytes(1000))
    taking = second.begin()
    assert taking.try_take(wanted, lambda num_bytes: None, soon) == "wait"
    assert not second.cache.peer_part(wanted.sha256).exists()
    assert taking.try_take(wanted, lambda num_bytes: None, soon) == "taken"


def test_who_stops_in_the_middle_of_lies_spoils_one_file_and_no_more(world, tmp_path):
    lie = tmp_path / "lie"
    lie.write_bytes(bytes(70_000))
    rogue = world.volunteer(server=Misbehaving(lambda question: reply_with(lie, question, world)))
    honest = world.volunteer()
    honest.fetch_all()
    second, clock = world.volunteer(listens=False), Clock()
    second.meet_at(honest)

    class RogueFirst(random.Random):
        def sample(self, members, k):
            return sorted(members, key=lambda member: member.signer != rogue.identity.public_key)

    taking = second.meet(2)
    taking.clock, taking.rng = clock, RogueFirst()
    outcomes = []
    for wanted in [world.files[0], *world.files]:  # what is spoilt is asked for again
        outcomes.append(taking.try_take(wanted, lambda num_bytes: None, soon))
        clock.now += 1000  # so that the rogue is asked again
    assert outcomes == ["wait", *["taken"] * 4]


def test_who_lies_in_two_goes_is_known_all_the_same(world, tmp_path):
    """The volunteer itself stops after the first piece and goes on with the same peer."""
    lie = tmp_path / "lie"
    lie.write_bytes(bytes(world.files[0].num_bytes))
    rogue = Misbehaving(lambda question: reply_with(lie, question, world))
    world.volunteer(server=rogue)
    second = world.volunteer(listens=False)

    def cut(num_bytes: int) -> None:
        raise StoppedError("Stopped.")

    taking = second.meet(1)
    with pytest.raises(StoppedError):
        taking.try_take(world.files[0], cut, soon)
    for wanted in world.files:
        assert taking.try_take(wanted, lambda num_bytes: None, soon) == "hub"
    assert rogue.num_asked == 2


def test_an_endless_stream_is_read_to_the_signed_size_and_hung_up(world):
    """It announces the right size, sends zeros for ever, and sees the stream end."""
    hung_up = threading.Event()

    async def endless(reader, writer) -> None:
        writer.write(bytes([ShardStatus.AVAILABLE]) + world.files[0].num_bytes.to_bytes(8, "big"))
        try:
            while True:
                writer.write(bytes(2**16))
                await writer.drain()
        except OSError:
            hung_up.set()

    world.volunteer(raw=endless)
    honest = world.volunteer(listens=False, parallel=1)
    honest.meet(1)
    honest.fetch_all()
    assert hung_up.wait(DEADLINE_S)
    assert honest.downloader.bytes_from_peers == world.files[0].num_bytes  # one shard's worth, then never again
    assert len(world.hub_requests) == len(world.files)
    assert sorted(path.name for path in honest.cache.path.iterdir()) == sorted(f.sha256 for f in world.files)


@pytest.mark.parametrize("num_bytes", [2**63, 0, 1])
def test_another_size_than_the_signed_one_is_not_even_begun(world, num_bytes):
    async def wrong_size(reader, writer) -> None:
        writer.write(bytes([ShardStatus.AVAILABLE]) + num_bytes.to_bytes(8, "big") + bytes(2**17))
        await reader.read(1)

    world.volunteer(raw=wrong_size)
    honest = world.volunteer(listens=False)
    assert honest.meet(1).try_take(world.files[0], lambda num_bytes: None, soon) == "hub"
    assert list(honest.cache.path.iterdir()) == []


@pytest.mark.parametrize("said", [b"", b"\x00\x00", b"\xff" * 9], ids=["nothing", "half an answer", "nonsense"])
def test_a_peer_that_gives_no_answer_costs_its_time_limit_once(world, said):
    asked = []

    async def mute(reader, writer) -> None:
        asked.append(1)
        writer.write(said)
        await reader.read(1)

    world.volunteer(raw=mute)
    honest = world.volunteer(listens=False)
    taking = honest.meet(1, QUICK)
    for wanted in world.files:
        assert taking.try_take(wanted, lambda num_bytes: None, soon) == "hub"
    assert asked == [1]


def test_who_asks_by_halves_holds_no_place_for_longer_than_a_question_may_take(world, monkeypatch):
    """As many streams as one peer may have, none of which ever finishes its question."""
    monkeypatch.setattr(stream_places, "MAX_OF_ONE", 3)
    monkeypatch.setattr(shards, "_REQUEST_TIMEOUT_S", 1.0)
    first, second = world.volunteer(), world.volunteer(listens=False)
    first.fetch_all()
    peer, address = second.swarm._peer, first.swarm._peer.addresses[0]

    async def half_a_question():
        daemon = peer._node.daemon
        _, reader, writer = await daemon.p2p.call_binary_stream_handler(await daemon.dial(address), "paris.shard.v1")
        writer.write(b"\x00\x00")
        return reader, writer

    halves = [peer._thread.call(half_a_question(), timeout_s=DEADLINE_S) for _ in range(3)]
    for reader, _ in halves:
        assert peer._thread.call(reader.read(), timeout_s=DEADLINE_S) == b""  # cut off
    assert ask(world, second, first, world.files[0].sha256) is ShardStatus.AVAILABLE


def test_a_disk_that_fills_up_while_a_peer_sends_is_said_and_the_part_is_kept(world, file_size_limit):
    world.volunteer().fetch_all()
    second = world.volunteer(listens=False, parallel=1)
    second.meet(1)
    with file_size_limit(), pytest.raises(DiskFullError, match=r"disk is full while fetching shards/0\.parquet"):
        second.fetch_all()
    kept = second.cache.peer_part(world.files[0].sha256).stat().st_size
    assert 0 < kept <= 2**16
    received = second.downloader.bytes_from_peers
    second.fetch_all()
    assert second.downloader.bytes_from_peers - received == 800_000 - kept


def test_a_slow_peer_is_left_for_the_hub(world):
    wanted = world.files[0]
    data = world.folder / "data"
    data.write_bytes(world.hub.files[wanted.path])
    slow = Misbehaving(lambda question: reply_with(data, question, world), pace_s=3600)
    world.volunteer(server=slow)
    honest = world.volunteer(parallel=1)
    honest.fetch_all(patience=QUICK)
    assert slow.num_asked == 1
    assert honest.downloader.bytes_from_peers == 0


def test_a_peer_that_trickles_is_left_too(world):
    """By an injected clock on which every look takes a second: the bytes that came meanwhile are too few."""
    wanted = world.files[0]
    world.volunteer().fetch_all()
    second = world.volunteer(listens=False)
    taking, ticks = second.begin(), iter(range(10**6))
    taking.clock = lambda: float(next(ticks))
    taking.patience = type(taking.patience)(answer_s=0.5, slow_bytes_per_s=1e9)
    assert taking.try_take(wanted, lambda num_bytes: None, soon) == "hub"
    assert 0 < second.cache.peer_part(wanted.sha256).stat().st_size < wanted.num_bytes


def test_a_peer_that_cannot_be_reached_is_passed_over(world):
    gone = world.volunteer()
    gone.begin()
    gone.swarm.close()
    other = world.volunteer()
    other.fetch_all()
    assert other.downloader.bytes_from_peers == 0


def test_patience_with_peers_ends_at_the_hub(world):
    server = Misbehaving(lambda question: Reply(ShardStatus.FETCHING))
    world.volunteer(server=server)
    second, clock = world.volunteer(parallel=1), Clock()
    second.downloader.clock, second.downloader.pause = clock, clock.pause
    second.fetch_all()
    assert second.downloader.bytes_from_hub == 800_000
    assert 120 <= clock.now - 100 < 140  # for all files together
    assert server.num_asked > 10


def test_one_peers_silent_and_badly_signed_streams_take_no_place_of_others(world):
    first, honest, rogue = world.volunteer(), world.volunteer(listens=False), world.volunteer(listens=False)
    first.fetch_all()
    sha256, address = world.files[0].sha256, first.swarm._peer.addresses[0]
    assert ask(world, honest, first, sha256) is ShardStatus.AVAILABLE
    peer, streams = rogue.swarm._peer, []

    async def open_silent() -> None:
        to = await peer._node.daemon.dial(address)
        for _ in range(100):
            streams.append((await peer._node.daemon.p2p.call_binary_stream_handler(to, "paris.shard.v1"))[2])

    peer._thread.call(open_silent(), timeout_s=DEADLINE_S)
    assert ask(world, honest, first, sha256) is ShardStatus.AVAILABLE
    peer._thread.call(hang_up(streams), timeout_s=DEADLINE_S)
    asked = [refused_or_hung_up(rogue, address) for _ in range(50)]
    assert asked.count(ShardStatus.AVAILABLE) == 0
    assert ask(world, rogue, first, sha256) is ShardStatus.REFUSED, "nothing of that peer is checked for a while"
    assert ask(world, honest, first, sha256) is ShardStatus.AVAILABLE


async def hang_up(streams) -> None:
    for writer in streams:
        writer.close()


def refused_or_hung_up(asking, address: str) -> ShardStatus | None:
    """The answer to a question without a signature; None: the stream was closed."""
    try:
        stream = asking.swarm.request_shard(address, b"{}", timeout_s=DEADLINE_S)
    except ConnectionError:
        return None
    stream.close()
    return stream.status
