"""What node and coordinator rely on in a peer: each test runs over the DHT and in memory (`memory_swarm.py`)."""

import time
from concurrent.futures import Future
from pathlib import Path

import pytest
from deadlines import DEADLINE_S
from memory_swarm import MemoryPeer
from protocol_samples import (
    COORDINATOR,
    HEARTBEAT,
    LEASE,
    MANIFEST,
    REGISTRATION,
    RUN,
    RUN_ID,
    STRANGER,
    TASK,
    VOLUNTEER,
    WANT,
    fixed_identity,
    hex_of,
)
from protocol_swarm import beat_now, sealed_now

from paris.protocol.dht.peer import Peer
from paris.protocol.errors import NoPeersError, PeerError, RecordError
from paris.protocol.keys import OWN
from paris.protocol.line import Taken
from paris.protocol.outcome import Outcome
from paris.protocol.shard_request import MAX_REQUEST_BYTES, Reply, ShardStatus, open_request, seal_request
from paris.protocol.want_work import do_work

NOBODY = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWDD9CfZNQaVRiD8YEV53FBrdHiNVGSSkVNVmx9m2M9p1T"


@pytest.fixture(scope="module", params=[Peer, MemoryPeer], ids=["dht", "memory"])
def start(request):
    """Starts a peer of the sample run."""
    return lambda **options: request.param.start(
        **({"run_id": RUN_ID, "coordinator": COORDINATOR.public_key} | options)
    )


@pytest.fixture(scope="module")
def swarm(start):
    """The coordinator's peer, one that listens, and a client."""
    first = start()
    peers = [first, start(initial_peers=first.addresses), start(initial_peers=first.addresses, client_mode=True)]
    assert first.publish(sealed_now(RUN.model_copy(update={"num_buckets": 1, "initial_peers": ()})), 1)
    yield peers
    for peer in peers:
        peer.stop()


def lease_number(attempt):
    return LEASE.model_copy(update={"attempt": attempt})


def test_a_volunteer_reads_what_is_for_it_alone(swarm):
    leases = [LEASE, LEASE.model_copy(update={"attempt": 2, "volunteer": STRANGER.public_key})]
    envelopes = [sealed_now(lease) for lease in leases]
    assert all(swarm[0].publish_many(envelopes, 1))
    for identity, envelope in zip((VOLUNTEER, STRANGER), envelopes, strict=True):
        assert [found.data for found in swarm[2].read(OWN, identity.public_key)] == [envelope.data]


class Desk:
    """A server of the line that says a request again in capitals, and refuses "bad"."""

    def take(self, request, *, to, peer):
        if request == b"bad":
            return None
        taken = Taken("signer", Future())
        taken.reply.set_result(request.upper() + f" {to}".encode())
        return taken

    def hurry(self, taken):
        raise AssertionError("Nothing waits.")


def test_the_line_is_asked_and_counted(swarm):
    first, other, client = swarm
    first.serve_line(Desk())
    before = client.traffic
    assert client.ask_line(first.addresses[0], b"hello") == f"HELLO {first.peer_id}".encode()
    assert client.traffic.bytes_sent - before.bytes_sent >= 5
    assert client.traffic.bytes_received - before.bytes_received >= 5
    with pytest.raises(PeerError, match="without a reply"):
        client.ask_line(first.addresses[0], b"bad")
    with pytest.raises(PeerError, match="does not serve the line"):
        client.ask_line(other.addresses[0], b"hello")
    with pytest.raises(PeerError):
        client.ask_line(NOBODY, b"hello")


def test_what_one_peer_publishes_every_peer_reads(swarm):
    envelope = sealed_now(WANT)
    assert swarm[2].publish(envelope, 1)
    for peer in swarm:
        assert peer.read_all("want", 1) == [envelope]


def test_nothing_is_read_where_nothing_was_published(swarm):
    assert swarm[0].read("verdict") == []
    assert swarm[2].read_many([("manifest", 7), ("submission", 0)]) == {("manifest", 7): [], ("submission", 0): []}


def test_parts_of_a_kind_are_apart_and_ordered(swarm):
    parts = [sealed_now(MANIFEST.model_copy(update={"cluster": cluster})) for cluster in (3, 5)]
    assert all(swarm[0].publish_many(parts, 1))
    assert swarm[2].read_many([("manifest", 5), ("manifest", 3)]) == {
        ("manifest", 5): [parts[1]],
        ("manifest", 3): [parts[0]],
    }


def test_every_peer_reads_the_newest_record_at_once_after_another_wrote_it(swarm):
    for sequence in range(1, 4):
        envelope = sealed_now(lease_number(50), sequence=sequence, life_s=100.0 + sequence)
        assert swarm[sequence % 2].publish(envelope, 1)
        for peer in swarm:
            assert envelope in peer.read("lease")


def test_the_same_record_again_is_stored_and_an_older_one_refused(swarm):
    old, new = sealed_now(lease_number(51), sequence=1, life_s=50.0), sealed_now(lease_number(51))
    assert swarm[0].publish(new, 1) is swarm[0].publish(new, 1) is swarm[2].publish(new, 1) is Outcome.STORED
    assert swarm[2].publish(old, 1) is Outcome.UNANSWERED, "its own judge knows the newer one"
    assert new in swarm[2].read("lease")


def test_a_peer_that_does_not_know_the_newer_record_hears_that_its_own_is_refused(start, swarm):
    old, new = sealed_now(lease_number(52), sequence=1, life_s=50.0), sealed_now(lease_number(52))
    assert swarm[0].publish(new, 1)
    with start(initial_peers=swarm[0].addresses, client_mode=True) as newcomer:
        assert newcomer.publish(old, 1) is Outcome.REFUSED


def test_a_newcomer_finds_what_was_there_before_it(start, swarm):
    envelope = sealed_now(REGISTRATION)
    assert swarm[0].publish(envelope, 1)
    with start(initial_peers=swarm[1].addresses) as newcomer:
        assert newcomer.read("registration") == [envelope]
        assert newcomer.num_neighbours >= 1


def test_ones_own_forgery_is_not_even_sent(swarm):
    before = swarm[2].traffic
    assert swarm[2].publish(sealed_now(TASK, STRANGER), 1) is Outcome.UNANSWERED
    assert swarm[2].traffic == before
    assert swarm[2].refusals["bad-signature"] + swarm[2].refusals.get("malformed", 0) >= 1


def test_a_crowd_of_fresh_keys_fills_a_key_and_keeps_nobody_out_who_is_proven(start, monkeypatch):
    for module in ("record_shelves", "outcome"):
        monkeypatch.setattr(f"paris.protocol.{module}.MAX_DICTIONARY_BYTES", 8192)
    worker, holder = fixed_identity("worker"), fixed_identity("holder")
    want = WANT.model_copy(update={"work": do_work(RUN_ID, worker.public_key, 8)})
    with start() as first, start(initial_peers=first.addresses, client_mode=True) as client:
        outcomes = client.publish_many([sealed_now(WANT, fixed_identity(f"crowd {i}")) for i in range(20)], 1)
        assert set(outcomes) == {Outcome.STORED, Outcome.FULL}
        assert client.publish(sealed_now(want, worker), 1)
        assert client.publish(beat_now(HEARTBEAT, holder), 1)
        assert client.publish(sealed_now(WANT, holder), 1)
        assert {worker.public_key, holder.public_key} <= {envelope.signer for envelope in client.read("want", 0)}


def test_the_coordinators_key_is_pinned_also_against_the_run_id(start, swarm):
    with start(coordinator=STRANGER.public_key, initial_peers=swarm[0].addresses, client_mode=True) as deceived:
        assert swarm[0].publish(sealed_now(lease_number(72)), 1)
        assert deceived.read("lease") == []
        assert deceived.refusals["bad-signature"] >= 1


def test_traffic_grows_by_what_is_sent_and_read(start, swarm):
    with start(initial_peers=swarm[0].addresses, client_mode=True) as fresh:
        joined, envelope = fresh.traffic, sealed_now(lease_number(70))
        assert fresh.publish(envelope, 1)
        sent = fresh.traffic
        assert sent.records_sent >= joined.records_sent + 2, "one for each replica"
        assert sent.bytes_sent >= joined.bytes_sent + 2 * len(envelope.data)
        num_read = len(fresh.read("lease"))
        assert fresh.traffic.records_received == sent.records_received + num_read
        assert fresh.traffic.bytes_received >= sent.bytes_received + len(envelope.data)


def test_a_client_has_no_address_and_others_have_one_that_leads_to_them(swarm):
    first, second, client = swarm
    assert client.addresses == []
    assert all(address.endswith(f"/p2p/{first.peer_id}") for address in first.addresses)
    assert client.try_peer(first.addresses[0]) is second.try_peer(first.addresses[0]) is None
    assert all(peer.healthy() for peer in swarm)


def test_an_identity_file_keeps_the_peers_id(start, swarm, tmp_path):
    path = tmp_path / "peer.key"
    with start(initial_peers=swarm[0].addresses, identity_path=path) as peer:
        first = peer.peer_id
    with start(initial_peers=swarm[0].addresses, identity_path=path) as peer:
        assert peer.peer_id == first


def test_a_start_that_fails_says_why(start):
    with pytest.raises(RecordError):
        start(run_id="not a run id")
    with pytest.raises(NoPeersError, match="None of the 2 initial peers"):
        start(initial_peers=["/ip4/127.0.0.1/tcp/1", NOBODY], client_mode=True)


def test_the_first_peer_of_a_swarm_is_its_own_replica_and_one_that_lost_the_others_says_so(start):
    with start() as first, start(initial_peers=first.addresses, client_mode=True) as client:
        assert first.publish(sealed_now(RUN.model_copy(update={"initial_peers": ()})), 1)
        assert first.healthy()
        first.stop()
        assert client.publish(sealed_now(WANT), 1) is Outcome.UNANSWERED
        assert client.read("run") == []
        assert not client.healthy()
        assert isinstance(client.try_peer(NOBODY), NoPeersError)


def test_a_stopped_peer_answers_nothing_and_raises_only_where_bytes_are_asked_for(start, swarm):
    peer = start(initial_peers=swarm[0].addresses)
    peer.stop()
    peer.stop()
    assert peer.publish(sealed_now(lease_number(71)), 1) is Outcome.UNANSWERED
    assert peer.read("lease") == []
    assert not peer.healthy()
    with pytest.raises(PeerError):
        peer.request_shard(swarm[0].addresses[0], b"{}")


class OneFile:
    """A shard server for one file and one signer."""

    def __init__(self, path: Path, peer_id: str) -> None:
        self.path, self.peer_id, self.released = path, peer_id, 0

    def answer(self, request_bytes: bytes) -> Reply:
        request = open_request(request_bytes, run_id=RUN_ID, peer_id=self.peer_id, now=time.time())
        if request.signer != VOLUNTEER.public_key:
            return Reply(ShardStatus.REFUSED)
        num_bytes = self.path.stat().st_size - request.offset
        return Reply(ShardStatus.AVAILABLE, self.path, request.offset, num_bytes, request.signer)

    def pace(self, num_bytes: int) -> float:
        return 0.0

    def release(self, reply: Reply) -> None:
        self.released += 1


def test_shards_go_from_peer_to_peer_to_whom_the_server_knows(start, swarm, tmp_path):
    (tmp_path / "shard").write_bytes(bytes(range(256)) * 2000)
    with start(initial_peers=swarm[0].addresses) as serving:
        serving.serve_shards(OneFile(tmp_path / "shard", serving.peer_id))

        def asked(identity, peer=serving):
            request = seal_request(
                identity, run_id=RUN_ID, to=peer.peer_id, sha256=hex_of("shard"), offset=7, at=time.time()
            )
            return swarm[2].request_shard(peer.addresses[0], request)

        answer = asked(VOLUNTEER)
        received = bytearray()
        while piece := answer.read(2**16, timeout_s=DEADLINE_S):
            received += piece
            if len(received) == answer.num_bytes:
                break
        assert (answer.status, bytes(received)) == (ShardStatus.AVAILABLE, (tmp_path / "shard").read_bytes()[7:])
        answer.close()
        refused = asked(STRANGER)
        assert (refused.status, refused.num_bytes) == (ShardStatus.REFUSED, 0)
        refused.close()
        with pytest.raises(PeerError):
            asked(VOLUNTEER, swarm[1])
        with pytest.raises(PeerError):
            swarm[2].request_shard(NOBODY, b"{}")
        with pytest.raises(PeerError):
            swarm[2].request_shard(serving.addresses[0], b"x" * (MAX_REQUEST_BYTES + 1))


def test_fresh_records_are_read_once_and_all_are_there_for_who_reads_all(start):
    places = [("want", 0)]
    first, second = (sealed_now(WANT, identity) for identity in (VOLUNTEER, STRANGER))
    with start() as alone:
        assert alone.publish(first, 1)
        assert alone.read_fresh(places) == {("want", 0): [first]}
        assert alone.publish(second, 1)
        assert alone.read_fresh(places) == {("want", 0): [second]}
        assert alone.read_fresh([*places, ("heartbeat", 0)]) == {("want", 0): [], ("heartbeat", 0): []}
        assert {envelope.data for envelope in alone.read_all("want", 1)} == {first.data, second.data}
        with start(initial_peers=alone.addresses, client_mode=True) as client:
            assert client.publish(again := sealed_now(WANT, VOLUNTEER, life_s=200.0), 1)
            assert client.read_fresh(places) == {("want", 0): []}
        assert alone.read_fresh(places) == {("want", 0): [again]}


def test_a_record_that_its_own_peer_has_no_room_for_is_no_success(start, monkeypatch):
    kept, other = (sealed_now(lease_number(attempt)) for attempt in (61, 62))
    with start() as alone:
        assert alone.publish(kept, 1)
        for module in ("record_shelves", "outcome"):
            monkeypatch.setattr(f"paris.protocol.{module}.MAX_DICTIONARY_BYTES", 10)
        assert alone.publish_many([kept, other], 1) == [Outcome.STORED, Outcome.FULL]
