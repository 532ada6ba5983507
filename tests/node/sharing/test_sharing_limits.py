"""What is served and to whom, how much of it and how fast, and which addresses are told."""

from __future__ import annotations

import time

import pytest
from deadlines import DEADLINE_S
from sharing_world import Clock, ask

from paris.node.fetching.bandwidth import Bandwidth
from paris.node.sharing.members import usable
from paris.protocol.shard_request import ShardStatus, seal_request
from paris.protocol.signing import Identity


def test_only_shards_of_the_manifests_are_served_and_only_to_volunteers_with_a_lease(world):
    first, second = world.volunteer(), world.volunteer()
    first.fetch_all()
    sha256 = world.files[0].sha256
    secret = first.cache.file("0" * 64)
    secret.write_bytes(b"something else that this volunteer downloaded")
    assert ask(world, second, first, sha256) is ShardStatus.AVAILABLE
    assert ask(world, second, first, "0" * 64) is ShardStatus.REFUSED
    assert ask(world, second, first, sha256, to=second.swarm._peer.peer_id) is ShardStatus.REFUSED
    assert ask(world, second, first, sha256, run_id="other-0123456789abcdef") is ShardStatus.REFUSED
    assert ask(world, second, first, sha256, offset=10**9) is ShardStatus.REFUSED
    assert ask(world, second, first, sha256, identity=Identity.generate()) is ShardStatus.REFUSED


def test_a_question_that_is_none_gets_no_bytes(world):
    first, second = world.volunteer(), world.volunteer(listens=False)
    first.fetch_all()
    address = first.swarm._peer.addresses[0]
    for question in (b"", b"{}", b"\x00" * 1024):
        stream = second.swarm.request_shard(address, question, timeout_s=DEADLINE_S)
        stream.close()
        assert (stream.status, stream.num_bytes) == (ShardStatus.REFUSED, 0)
    with pytest.raises(ConnectionError, match="closed the stream"):
        second.swarm.request_shard(address, b"x" * 100_000, timeout_s=DEADLINE_S)
    assert ask(world, second, first, world.files[0].sha256) is ShardStatus.AVAILABLE


def test_no_more_is_sent_at_a_time_than_the_volunteer_allows(world):
    first = world.volunteer()
    first.fetch_all()
    host, questions = first.host(max_uploads=2), []
    for asking in (Identity.generate() for _ in range(3)):
        world.grant(asking.public_key)
        for wanted in world.files[:2]:
            peer_id = first.swarm._peer.peer_id
            numbers = {"run_id": world.run_id, "to": peer_id, "sha256": wanted.sha256, "offset": 0, "at": time.time()}
            questions.append(seal_request(asking, **numbers))
    replies = [host.answer(question) for question in questions]
    here, busy = ShardStatus.AVAILABLE, ShardStatus.BUSY
    assert [reply.status for reply in replies] == [here, busy, here, busy, busy, busy]
    host.release(replies[0])
    assert host.answer(questions[5]).status is here


def test_the_download_limit_holds_for_the_hub_and_peers_together(world):
    first, second = world.volunteer(), world.volunteer(listens=False, parallel=1)
    first.fetch_all(world.files[:2])
    first.sharing.inventory.want(())
    clock = Clock()
    second.downloader.bandwidth = Bandwidth(50_000, clock)
    second.downloader.pause = clock.pause
    second.fetch_all()
    assert (second.downloader.bytes_from_peers, second.downloader.bytes_from_hub) == (400_000, 400_000)
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


def test_in_a_run_on_the_internet_only_addresses_of_the_internet_are_told_and_dialled():
    tail = "/p2p/12D3KooWGRUVh2RdAyn2vKTA7kZzRbdLh8FdLuwuMjyJPDzBq1mR"
    mine = tuple(f"{where}/tcp/4001{tail}" for where in ("/ip4/127.0.0.1", "/ip4/192.168.1.7", "/ip4/8.8.8.8"))
    assert usable(mine, [f"/ip4/9.9.9.9/tcp/1{tail}"]) == mine[2:]
    assert usable(mine, [f"/dns4/run.example/tcp/1{tail}"]) == mine[2:]
    assert usable(mine, [f"/ip4/192.168.1.2/tcp/1{tail}"]) == mine
    assert usable([f"/ip4/8.8.8.8/udp/4001/quic{tail}", "/unix/x", ""], []) == ()


def test_an_address_through_a_relay_is_used_only_if_the_relay_is_the_runs():
    relay, other = (f"/ip4/9.9.9.{last}/tcp/1/p2p/QmS2CYshQxGb66qHgysbbnjpWW2QbGyNyRDzNHGcCdp9HY" for last in (1, 2))
    tail = "/p2p-circuit/p2p/12D3KooWGRUVh2RdAyn2vKTA7kZzRbdLh8FdLuwuMjyJPDzBq1mR"
    assert usable([relay + tail, other + tail], [relay]) == (relay + tail,)
    assert usable([relay + tail], []) == ()
