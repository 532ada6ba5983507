"""Shards between honest volunteers: real DHT peers, real streams, a real Hub over HTTP."""

from __future__ import annotations

import threading

import pytest
from deadlines import DEADLINE_S
from sharing_world import ask, soon

from paris.node.errors import StoppedError
from paris.protocol.dht.peer import Peer
from paris.protocol.shard_request import ShardStatus


@pytest.fixture
def peer_class():
    return Peer  # here the streams themselves are tested


def test_a_second_volunteer_takes_everything_from_the_first_and_nothing_from_the_hub(world):
    first, second = world.volunteer(), world.volunteer(listens=False)
    first.fetch_all()
    assert len(world.hub_requests) == len(world.files)
    second.fetch_all()
    assert len(world.hub_requests) == len(world.files)
    assert second.downloader.bytes_from_hub == 0
    assert second.downloader.bytes_from_peers == sum(shard.bytes for shard in world.shards)


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
        thread.join(DEADLINE_S)
    assert sorted(world.hub_requests) == sorted(wanted.path for wanted in world.files)
    assert [v.downloader.bytes_from_hub + v.downloader.bytes_from_peers for v in volunteers] == [800_000] * 3


def test_a_peer_has_it_while_the_hub_is_down(world):
    first, second = world.volunteer(), world.volunteer()
    first.fetch_all()
    world.hub.faults.update({wanted.path: [503] * 99 for wanted in world.files})
    second.fetch_all()
    assert second.downloader.bytes_from_hub == 0


def test_without_sharing_the_hub_is_the_only_source(world):
    first, second = world.volunteer(), world.volunteer(shares=False)
    first.fetch_all()
    second.fetch_all()
    assert len(world.hub_requests) == 2 * len(world.files)


def test_a_volunteer_that_does_not_share_answers_no_question(world):
    first, second = world.volunteer(shares=False), world.volunteer()
    first.fetch_all()
    with pytest.raises(ConnectionError, match="serves no shards"):
        ask(world, second, first, world.files[0].sha256)


def test_a_restart_in_the_middle_of_a_download_goes_on_where_it_was(world):
    first, second = world.volunteer(), world.volunteer(listens=False, parallel=1)
    first.fetch_all()
    received: list[int] = []
    wanted = world.files[0]

    def cut(num_bytes: int) -> None:
        received.append(num_bytes)
        raise StoppedError("Stopped.")

    with pytest.raises(StoppedError):
        second.begin().try_take(wanted, cut, soon)
    again = world.volunteer(listens=False, parallel=1, cache=second.cache.path, identity=second.identity)
    again.fetch_all()
    assert again.downloader.bytes_from_peers == 800_000 - received[0]


def test_a_volunteer_that_is_asked_says_what_it_is_about_to_fetch(world):
    first, second = world.volunteer(), world.volunteer()
    sha256 = world.files[0].sha256
    taking = first.begin()
    assert ask(world, second, first, sha256) is ShardStatus.WANTED
    with taking.fetching(sha256):
        assert ask(world, second, first, sha256) is ShardStatus.FETCHING
        assert second.begin().try_take(world.files[0], lambda num_bytes: None, soon) == "wait"
    taking.finish()
    assert ask(world, second, first, sha256) is ShardStatus.ABSENT
    assert second.begin().try_take(world.files[0], lambda num_bytes: None, soon) == "hub"


def test_a_peer_that_was_replaced_is_served_by_again(world):
    first, second = world.volunteer(), world.volunteer(listens=False)
    first.fetch_all()
    first.swarm._stop_peer()  # as when its daemon has died; `close` is for good
    first.swarm.connect()
    assert ask(world, second, first, world.files[0].sha256) is ShardStatus.AVAILABLE
