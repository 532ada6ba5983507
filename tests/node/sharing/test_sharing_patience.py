"""How long a volunteer waits for others: until its trainer will need the shard; and nobody waits in a circle."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from deadlines import DEADLINE_S
from sharing_world import Clock, Misbehaving, no_hurry, reply_with, soon

from paris.node.errors import StoppedError
from paris.node.sharing.asking import _rank
from paris.protocol.shard_request import Reply, ShardStatus
from paris.protocol.signing import Identity


def ignore(num_bytes: int) -> None:
    """Nothing to do about bytes that came."""


def ignore_ready(index: int, path: Path) -> None:
    """Nothing to do about a file that is here."""


def test_two_that_need_the_same_shards_in_opposite_orders_never_wait_for_each_other(make_world):
    """Each is the first of the ranking for what stands last in its own order."""
    many = make_world(num_shards=12, shard_bytes=2000)
    while True:
        keys = [Identity.generate() for _ in range(2)]
        first = [min(keys, key=lambda key, f=f: _rank(f.sha256, key.public_key)) for f in many.files]
        if all(first.count(key) > 4 for key in keys):  # more than each looks ahead
            break
    volunteers = []
    for key in keys:
        many.grant(key.public_key)
        volunteers.append(many.volunteer(identity=key, parallel=1))
        volunteers[-1].begin()
    for volunteer in volunteers:
        volunteer.meet(1)
    orders = [sorted(many.files, key=lambda f, key=key: first[many.files.index(f)] is key) for key in keys]
    threads = [
        threading.Thread(
            target=volunteer.fetcher.fetch_all, args=(order, ignore_ready, lambda: None, lambda: 0), daemon=True
        )
        for volunteer, order in zip(volunteers, orders, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
    assert sorted(many.hub_requests) == sorted(wanted.path for wanted in many.files)


def test_what_is_needed_soon_comes_from_the_hub_in_time_and_the_rest_waits_until_promises_are_worn_out(world):
    """By a clock that waiting moves on; a peer promises both shards for ever."""
    world.volunteer(server=Misbehaving(lambda question: Reply(ShardStatus.FETCHING)))
    second, clock = world.volunteer(listens=False, parallel=1), Clock()
    taking = second.meet(1)
    taking.clock = second.downloader.clock = clock
    taking._began_at = clock()
    second.downloader.pause = clock.pause
    came: dict[int, float] = {}
    second.fetcher.fetch_all(
        world.files[:2], lambda index, path: came.setdefault(index, clock.now - 100), lambda: None, lambda: 1
    )
    assert 120 <= came[0] < 140
    assert 2400 <= came[1] < 2600  # four times ten minutes


def test_a_shard_comes_from_the_hub_as_soon_as_the_trainer_comes_near_it(world):
    world.volunteer(server=Misbehaving(lambda question: Reply(ShardStatus.BUSY)))
    second, clock = world.volunteer(listens=False, parallel=1), Clock()
    taking = second.meet(1)
    taking.clock = second.downloader.clock = clock
    second.downloader.pause, second.fetcher.patience_s = clock.pause, 5.0
    came: dict[int, float] = {}
    second.fetcher.fetch_all(
        world.files[:2],
        lambda index, path: came.setdefault(index, clock.now - 100),
        lambda: None,
        lambda: 1 if clock.now < 400 else 2,
    )
    assert came[0] < 20
    assert 300 <= came[1] < 320


def test_what_is_needed_soon_takes_the_place_of_what_is_not_and_no_byte_is_fetched_twice(make_world, tmp_path):
    world = make_world(num_shards=2, shard_bytes=1_000_000)
    urgent, other = world.files
    data = tmp_path / "data"
    data.write_bytes(world.hub.files[other.path])

    def reply(question: bytes) -> Reply:
        if json.loads(question)["sha256"] == urgent.sha256:
            return Reply(ShardStatus.ABSENT if second.downloader.bytes_from_peers else ShardStatus.FETCHING)
        return reply_with(data, question, world)

    world.volunteer(server=Misbehaving(reply, pace_s=0.3))
    second = world.volunteer(listens=False, parallel=1)
    second.meet(1)
    second.fetcher.patience_s = 0.0
    order: list[int] = []
    second.fetcher.fetch_all(
        world.files,
        lambda index, path: order.append(index),
        lambda: None,
        lambda: 1 if second.downloader.bytes_from_peers else 0,
    )
    assert order == [0, 1]
    assert (second.downloader.bytes_from_hub, second.downloader.bytes_from_peers) == (1_000_000, 1_000_000)


def test_a_peer_that_would_be_late_is_given_up_at_once_but_not_held_guilty(world):
    """By a clock on which each look takes ten seconds."""
    wanted = world.files[0]
    world.volunteer().fetch_all()
    second = world.volunteer(listens=False)
    taking, ticks = second.meet(1), iter(range(0, 10**6, 10))
    taking.clock = lambda: float(next(ticks))
    assert taking.try_take(wanted, ignore, lambda: 3.0) == "hub"
    assert second.cache.peer_part(wanted.sha256).stat().st_size > 0
    received: list[int] = []
    assert taking.try_take(wanted, received.append, no_hurry) == "taken"
    assert 0 < sum(received) < wanted.num_bytes


def test_before_anybody_serves_only_what_is_needed_soon_goes_to_the_hub(world):
    second, clock = world.volunteer(listens=False), Clock()
    taking = second.begin()
    taking.clock = clock
    taking._began_at = clock()
    assert taking.try_take(world.files[0], ignore, soon) == "hub"
    assert taking.try_take(world.files[0], ignore, no_hurry) == "wait"
    clock.now += 10
    assert taking.try_take(world.files[0], ignore, no_hurry) == "hub"


def test_who_is_out_of_reach_is_waited_for_some_times_where_there_is_time(world):
    gone = world.volunteer()
    gone.begin()
    gone.swarm.close()
    second, clock = world.volunteer(listens=False), Clock()
    taking = second.meet(1)
    taking.clock = clock
    outcomes = []
    for _ in range(4):
        assert taking.try_take(world.files[0], ignore, soon) == "hub"
        outcomes.append(taking.try_take(world.files[0], ignore, no_hurry))
        clock.now += 1000
    assert outcomes == ["wait", "wait", "wait", "hub"]


def test_a_hub_in_trouble_leaves_time_for_peers_again(world):
    """The peer has nothing at first; when it has, the Hub still answers nobody."""
    first, second = world.volunteer(), world.volunteer(listens=False, max_tries=50)
    wanted = world.files[0]
    world.hub.faults[wanted.path] = [503] * 40
    asked = []

    def check() -> None:
        asked.append(len(world.hub_requests))
        path = first.cache.file(wanted.sha256)
        if len(world.hub_requests) >= 2 and not path.exists():
            path.write_bytes(world.hub.files[wanted.path])

    first.begin()
    first.sharing.inventory.want(())
    second.begin()
    second.fetcher.patience_s = 2.0
    second.fetcher.fetch_all([wanted], ignore_ready, check)
    assert second.downloader.bytes_from_peers == wanted.num_bytes


def test_waiting_for_peers_takes_no_processor_time_however_many_files_there_are(make_world):
    """More files than are looked ahead to, none of which has had its first try."""
    many, waits = make_world(num_shards=12, shard_bytes=2000), []
    many.volunteer(server=Misbehaving(lambda question: Reply(ShardStatus.BUSY)))
    second = many.volunteer(listens=False, parallel=1)
    second.meet(1)

    def pause(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 20:
            raise StoppedError("Stopped.")
        second.stop.pause(seconds)

    second.downloader.pause = pause
    with pytest.raises(StoppedError):
        second.fetcher.fetch_all(many.files, ignore_ready, lambda: None, lambda: 0)
    assert sum(wait > 0 for wait in waits) > 15
