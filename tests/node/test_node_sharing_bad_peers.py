"""Volunteers that lie, stop in the middle, are slow, out of reach, or put others off for ever."""

from __future__ import annotations

from sharing_world import QUICK, Clock, Misbehaving, reply_with, soon

from paris.protocol.shard_request import Reply, ShardStatus


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


def test_a_slow_peer_is_left_for_the_hub(world):
    wanted = world.files[0]
    data = world.folder / "data"
    data.write_bytes(world.hub.files[wanted.path])
    slow = Misbehaving(lambda question: reply_with(data, question, world), pace_s=3600)
    world.volunteer(server=slow)
    honest = world.volunteer(parallel=1)
    honest.fetch_all(patience=QUICK)
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
    assert taking.try_take(wanted, lambda num_bytes: None, soon) == "hub"
    assert 0 < second.cache.peer_part(wanted.sha256).stat().st_size < wanted.num_bytes


def test_a_peer_that_cannot_be_reached_is_passed_over(world):
    gone = world.volunteer()
    gone.begin()
    gone.swarm.close()
    other = world.volunteer()
    other.fetch_all()
    assert other.fetcher.bytes_from_peers == 0


def test_patience_with_peers_ends_at_the_hub(world):
    server = Misbehaving(lambda question: Reply(ShardStatus.FETCHING))
    world.volunteer(server=server)
    second, clock = world.volunteer(parallel=1), Clock()
    second.fetcher.clock, second.fetcher.pause = clock, clock.pause
    second.fetch_all()
    assert second.fetcher.bytes_received == 800_000
    assert 120 <= clock.now - 100 < 140  # for all files together
    asked = server.num_asked
    assert second.fetcher.peers.try_take(world.files[0], lambda num_bytes: None, soon) == "hub"
    assert server.num_asked == asked > 10
