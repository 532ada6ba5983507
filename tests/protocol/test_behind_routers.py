"""Peers behind routers that translate addresses, in network namespaces: through a relay, and directly after it."""

from __future__ import annotations

import contextlib
import hashlib
import os

import pytest
from nat_world import HOST, NatWorld, PeerThere, why_not

from paris.protocol.addresses import is_relayed
from paris.protocol.work_records import Holding

pytestmark = pytest.mark.skipif(bool(why_not()), reason=str(why_not()))
IMPORTS = "from nat_children import *"
SERVED_BYTES = 3_000_000
TRIES = 20


class Meeting:
    """Public peers, one behind router 1 that serves a file, and one behind router 2 that only dials."""

    def __init__(self, world: NatWorld, folder, stack, num_public: int, second: str = "dialling({relays})") -> None:
        self.path = folder / "shard"
        self.path.write_bytes(os.urandom(SERVED_BYTES))
        self.digest = hashlib.sha256(self.path.read_bytes()).hexdigest()

        def peer(place: str, made: str) -> PeerThere:
            there = PeerThere(world, place, f"{IMPORTS}\npeer = {made}")
            stack.callback(there.close)
            return there

        hosts = [f"11.22.33.{last}" for last in range(1, num_public + 1)]
        keys = [f"Path({str(folder / f'key{host}')!r})" for host in hosts]
        self.public = [
            peer("public", f"relaying('/ip4/{host}/tcp/4001', {key})") for host, key in zip(hosts, keys, strict=True)
        ]
        self.relays = [there.ask("peer.addresses")[0] for there in self.public]
        self.first = peer("private1", f"behind({self.relays}, 4100)")
        self.second = peer("private2", second.format(relays=self.relays))
        self.through = [address for address in self.first.ask("peer.addresses") if is_relayed(address)]


@pytest.fixture(params=[pytest.param("", id="kept-ports")])
def world(request):
    with NatWorld(request.param) as world:
        yield world


@pytest.fixture
def stack():
    with contextlib.ExitStack() as stack:
        yield stack


def test_two_peers_behind_routers_pass_a_record_and_a_shard_through_a_relay(world, stack, tmp_path):
    met = Meeting(world, tmp_path, stack, num_public=1)
    assert met.through, "the relay gave a place"
    assert met.through[0].startswith(f"/ip4/{HOST}/tcp/4001/p2p/")
    Holding(cluster=0, manifest_sha256="0" * 64, addresses=tuple(met.through))  # can be published
    peers = (*met.public, met.first, met.second)
    assert [there.ask("offers_relay(peer)") for there in peers] == [True, False, False]
    assert met.second.ask("publish_run(peer)") is True
    assert met.first.ask("run_names(peer)") == ["Cabins"]
    assert met.first.ask(f"serve(peer, {str(met.path)!r})")
    assert met.second.ask(f"digest_from(peer, {met.through[0]!r}, 60.0)") == met.digest
    ways = met.second.ask(f"ways_to(peer, {met.through[0].rpartition('/')[2]!r})")
    assert ways
    assert all(map(is_relayed, ways)), "a peer that only dials is not punched through to"


@pytest.mark.long
@pytest.mark.parametrize(
    ("world", "num_public", "is_direct"),
    [
        pytest.param("", 4, True, id="seen-by-four"),
        pytest.param("", 3, False, id="seen-by-three"),
        pytest.param("fully-random", 4, False, id="random-ports"),
    ],
    indirect=["world"],
)
def test_a_hole_is_punched_between_two_that_listen_where_four_public_peers_saw_their_ports(
    world, stack, tmp_path, num_public, is_direct
):
    met = Meeting(world, tmp_path, stack, num_public, second="behind({relays}, 4200)")
    assert met.first.ask(f"serve(peer, {str(met.path)!r})")
    peer_id = met.through[0].rpartition("/")[2]

    def is_punched() -> bool:
        assert met.second.ask(f"digest_from(peer, {met.through[0]!r}, 60.0)") == met.digest
        return any(not is_relayed(way) for way in met.second.ask(f"ways_to(peer, {peer_id!r})"))

    assert any(is_punched() for _ in range(TRIES)) == is_direct
