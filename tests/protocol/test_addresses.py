"""Addresses of peers: what is one, which are dialled first, and whether a port is free."""

from __future__ import annotations

import socket

import pytest

from paris.protocol.addresses import ipv4_first, require_free_port, split_peer_address
from paris.protocol.dht.pinned import PinnedPeers, peer_of
from paris.protocol.errors import AddressError, PortTakenError

PEER = "12D3KooWGRUVh2RdAyn2vKTA7kZzRbdLh8FdLuwuMjyJPDzBq1mR"
OTHER = "12D3KooWNvSZnPi3RrhrTwEY4LuuBeB6K6facKUCJcyWG1aoDd2p"
TCP = "/ip4/127.0.0.1/tcp/9"


@pytest.mark.parametrize("where", [TCP, "/dns4/run.example/tcp/31337", "/ip6/::1/tcp/9", "/unix/x"])
def test_an_address_is_a_place_and_a_peer(where):
    assert split_peer_address(f"  {where}/p2p/{PEER}\n") == (where, PEER)
    assert str(peer_of(f"{where}/p2p/{PEER}")) == PEER


@pytest.mark.parametrize(
    "address",
    [TCP, f"{TCP}/p2p/", f"{TCP}/p2p/{PEER}/x", PEER, f"127.0.0.1/p2p/{PEER}", f"/p2p/{PEER}"[4:], "", f"p2p/{PEER}"],
)
def test_what_lacks_the_place_or_the_peer_is_refused(address):
    with pytest.raises(AddressError, match="is not the address of a peer"):
        split_peer_address(address)
    assert peer_of(address) is None


@pytest.mark.parametrize("kind", ["udp/9/quic", "udp/9/quic-v1", "udp/9/webrtc-direct", "quic-v1", "webtransport"])
def test_what_is_built_on_quic_is_refused(kind):
    with pytest.raises(AddressError, match="is a QUIC address"):
        split_peer_address(f"/ip4/127.0.0.1/{kind}/p2p/{PEER}")


def test_a_peer_id_that_is_none_is_no_peer():
    assert peer_of(f"{TCP}/p2p/l0O") is None


def test_ipv6_addresses_come_last_and_others_keep_their_order():
    addresses = ["/ip6/::1/tcp/1", "/ip4/9.9.9.9/tcp/2", "/dns4/x/tcp/3", "/ip6/::1/tcp/4", "/ip4/1.1.1.1/tcp/5"]
    assert ipv4_first(addresses) == [addresses[place] for place in (1, 2, 4, 0, 3)]


def test_a_port_that_is_listened_on_is_taken_and_free_again_afterwards():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}"
        with pytest.raises(PortTakenError, match=rf"{address} is in use by another process"):
            require_free_port(address, wait_s=0.0)
        for other in ("/ip4/127.0.0.1/tcp/0", address.replace("tcp", "udp"), address.replace("ip4", "dns4"), "/ip4/x"):
            require_free_port(other, wait_s=0.0)
    require_free_port(address)
    require_free_port(address)


def test_an_address_of_another_machine_cannot_be_listened_on():
    with pytest.raises(AddressError, match=r"Cannot listen on /ip4/192\.0\.2\.1/tcp/9999"):
        require_free_port("/ip4/192.0.2.1/tcp/9999", wait_s=0.0)


def test_a_pinned_peer_that_did_not_answer_rests_for_half_a_minute():
    now = [100.0]
    pinned = PinnedPeers(lambda: now[0])
    addresses = [f"{TCP}/p2p/{PEER}", "typed wrongly", f"/ip4/127.0.0.2/tcp/9/p2p/{PEER}", f"{TCP}/p2p/{OTHER}"]
    one, other = peer_of(addresses[0]), peer_of(addresses[3])
    assert pinned.awake(addresses) == [one, other]
    pinned.note(one, answered=False)
    now[0] += 29.9
    assert pinned.awake(addresses) == [other]
    now[0] += 0.1
    assert pinned.awake(addresses) == [one, other]
    pinned.note(other, answered=False)
    pinned.note(other, answered=True)
    pinned.note(one, answered=True)
    assert pinned.awake(addresses) == [one, other]
