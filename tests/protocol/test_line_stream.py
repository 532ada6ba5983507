"""The line over real peers: requests, replies that wait, and others who ask badly."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest
from deadlines import DEADLINE_S
from protocol_swarm import eventually, start_peer

from paris.protocol.dht import line as line_module
from paris.protocol.dht.stream_places import MAX_OF_ONE, MAX_REFUSED
from paris.protocol.errors import PeerError
from paris.protocol.line import MAX_REPLY_BYTES, MAX_REQUEST_BYTES, Taken


class Desk:
    """Says a request again in capitals; "wait" is answered when it is hurried, "lost" never, "bad" is refused."""

    def __init__(self) -> None:
        self.num_taken, self.hurried = 0, threading.Event()
        self.to = ""

    def take(self, request: bytes, *, to: str, peer: str) -> Taken | None:
        self.num_taken, self.to = self.num_taken + 1, to
        if request == b"bad":
            return None
        taken = Taken("signer", Future())
        if request == b"huge":
            taken.reply.set_result(b"x" * (MAX_REPLY_BYTES + 1))
        elif request == b"unsigned":
            taken.reply.set_exception(PeerError("No signer answers."))
        elif request not in (b"wait", b"lost"):
            taken.reply.set_result(request.upper())
        return taken

    def hurry(self, taken: Taken) -> None:
        if not self.hurried.is_set():
            self.hurried.set()
            taken.reply.set_result(b"hurried")


@pytest.fixture(scope="module")
def desk():
    return Desk()


@pytest.fixture(scope="module")
def served(desk):
    with start_peer() as peer:
        peer.serve_line(desk)
        yield peer


@pytest.fixture(scope="module")
def client(served):
    with start_peer(initial_peers=served.addresses, client_mode=True) as peer:
        yield peer


def ask(client, served, request: bytes) -> bytes:
    return client.ask_line(served.addresses[0], request)


def test_the_longest_request_arrives_whole_and_a_longer_one_is_not_read(client, served, desk):
    longest = b"x" * MAX_REQUEST_BYTES
    assert ask(client, served, longest) == longest.upper()
    num_taken = desk.num_taken
    with pytest.raises(PeerError):
        ask(client, served, longest + b"x")
    assert desk.num_taken == num_taken


def test_a_reply_that_is_too_long_is_not_read(client, served):
    with pytest.raises(PeerError, match="at most"):
        ask(client, served, b"huge")


def test_who_waits_too_long_is_answered_without_what_it_waits_for(client, served, desk, monkeypatch):
    monkeypatch.setattr(line_module, "_PATIENCE_S", 0.1)
    assert ask(client, served, b"wait") == b"hurried"
    assert desk.hurried.is_set()


@pytest.mark.parametrize("request_", [b"unsigned", b"lost"])
def test_a_request_that_gets_no_reply_gives_its_stream_back(client, served, desk, monkeypatch, request_):
    monkeypatch.setattr(line_module, "_PATIENCE_S", 0.01)
    monkeypatch.setattr(line_module, "_HURRY_TIMEOUT_S", 0.01)
    desk.hurried.set()
    for _ in range(MAX_OF_ONE + 1):
        with pytest.raises(PeerError, match="without a reply"):
            ask(client, served, request_)
    assert ask(client, served, b"hello") == b"HELLO"


def test_a_slow_request_loses_its_stream_and_holds_up_nobody(client, served, monkeypatch):
    monkeypatch.setattr(line_module, "_REQUEST_TIMEOUT_S", 0.2)

    async def half_a_request():
        peer = await client._node.daemon.dial(served.addresses[0])
        _, reader, writer = await client._node.daemon.p2p.call_binary_stream_handler(peer, "paris.line.v1")
        writer.write(b"\x00\x00")
        await writer.drain()
        return await reader.read(1)

    assert client._thread.call(half_a_request(), timeout_s=DEADLINE_S) == b""
    assert ask(client, served, b"hello") == b"HELLO"


def test_who_is_refused_often_is_not_asked_what_it_wants(client, served, desk):
    with start_peer(initial_peers=served.addresses, client_mode=True) as mallory:
        num_taken = desk.num_taken
        for _ in range(MAX_REFUSED + MAX_OF_ONE):
            with pytest.raises(PeerError, match="without a reply"):
                ask(mallory, served, b"bad")
        assert desk.num_taken - num_taken == MAX_REFUSED
        with pytest.raises(PeerError):
            ask(mallory, served, b"hello")
    assert eventually(lambda: ask(client, served, b"hello") == b"HELLO")
