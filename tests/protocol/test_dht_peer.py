"""Three full peers and a client on loopback, and a rogue peer: what holds of the DHT beyond `test_peer_contract.py`."""

import math
import time

import pytest
from hivemind.dht.routing import DHTID
from hivemind.dht.storage import DictionaryDHTValue
from hivemind.utils.serializer import MSGPackSerializer
from protocol_samples import (
    HEARTBEAT,
    LEASE,
    MANIFEST,
    RUN,
    RUN_ID,
    STRANGER,
    SUBMISSION,
    TASK,
    VERDICT,
    VOLUNTEER,
    WANT,
    fixed_identity,
)
from protocol_swarm import Rogue, beat_now, daemons_of, held_by, place_of, sealed_now, start_peer

from paris.protocol.keys import dht_key
from paris.protocol.runid import make_run_id


@pytest.fixture(scope="module")
def swarm():
    first = start_peer()
    peers = [first, *(start_peer(initial_peers=first.addresses) for _ in range(2))]
    assert first.publish(sealed_now(RUN.model_copy(update={"num_buckets": 1, "initial_peers": ()})), 1)
    yield peers
    for peer in peers:
        peer.stop()


@pytest.fixture(scope="module")
def client(swarm):
    with start_peer(initial_peers=swarm[0].addresses, client_mode=True) as peer:
        yield peer


@pytest.fixture(scope="module")
def rogue(swarm):
    rogue = Rogue(swarm[0].addresses)
    yield rogue
    rogue.stop()


def pack(envelope):
    return MSGPackSerializer.dumps(envelope.data)


def lease_number(attempt):
    return LEASE.model_copy(update={"attempt": attempt})


def test_a_client_publishes_and_holds_nothing_for_others(swarm, client):
    envelope = sealed_now(WANT)
    assert client.publish(envelope, 1)
    for peer in [*swarm, client]:
        assert peer.read_all("want", 1) == [envelope]
    assert client.addresses == []
    assert not client._node.protocol.storage


def test_a_dictionary_of_sixty_kibibytes_and_more_is_no_trouble(swarm, client):
    envelopes = [
        sealed_now(VERDICT.model_copy(update={"lease_id": f"{i:032x}", "reason": "x" * 300})) for i in range(80)
    ]
    assert sum(len(envelope.data) for envelope in envelopes) > 60 * 1024
    assert all(client.publish_many(envelopes, 1))
    assert len(swarm[2].read("verdict")) == 80
    assert len(client.read("verdict")) == 80


def test_many_keys_are_read_at_once(swarm, client):
    parts = [sealed_now(MANIFEST.model_copy(update={"cluster": cluster})) for cluster in range(20, 60)]
    assert all(swarm[0].publish_many(parts, 1))
    found = client.read_many([("manifest", cluster) for cluster in range(20, 60)])
    assert [found[("manifest", cluster)][0].payload.cluster for cluster in range(20, 60)] == list(range(20, 60))


def test_a_peer_of_another_run_stores_nothing_of_ours(swarm):
    other_run = make_run_id("other", STRANGER.public_key)
    with start_peer(run_id=other_run, coordinator=STRANGER.public_key, initial_peers=swarm[0].addresses) as other:
        assert swarm[0].publish(sealed_now(lease_number(53)), 1)
        assert not other._node.protocol.storage
        assert not other.publish(sealed_now(lease_number(54)), 1)


def test_a_forged_coordinator_record_reaches_nobody(swarm, client, rogue):
    forged = sealed_now(TASK, STRANGER)
    rogue.store(place_of(forged)[0], forged.data, forged.expires_at, subkey="expert-0")
    for peer in [*swarm, client]:
        assert peer.read("task") == []
        assert held_by(peer, forged) is None


def test_a_volunteer_cannot_write_into_anothers_subkey(swarm, client, rogue):
    mine = sealed_now(WANT, STRANGER)
    key = dht_key(RUN_ID, "want", 0)
    assert rogue.send(swarm[0], key, pack(mine), mine.expires_at, subkey=VOLUNTEER.public_key) == [False]
    assert swarm[0].refusals["wrong-subkey"] >= 1
    rogue.keep(key, pack(mine), mine.expires_at, subkey=VOLUNTEER.public_key)
    assert mine not in client.read("want", 0)


def test_a_plain_value_does_not_wipe_a_dictionary(swarm, client, rogue):
    envelope = sealed_now(lease_number(60))
    assert swarm[0].publish(envelope, 1)
    key, _ = place_of(envelope)
    rogue.store(key, "EVIL", time.time() + 10_000)
    rogue.keep(key, MSGPackSerializer.dumps("EVIL"), time.time() + 10_000)
    for peer in [*swarm, client]:
        assert envelope in peer.read("lease")


@pytest.mark.parametrize("expires_at", [1e12, math.inf])
def test_nobody_holds_a_place_for_ever(swarm, rogue, expires_at):
    squatter = sealed_now(WANT, STRANGER)
    key, subkey = place_of(squatter)
    assert rogue.send(swarm[0], key, pack(squatter), expires_at, subkey=subkey) == [False]
    assert rogue.send(swarm[0], "any other key", b"x", expires_at, subkey="x") == [False]
    assert held_by(swarm[0], squatter) is None


def test_a_replayed_older_record_is_refused_and_does_not_end_the_newer_one(swarm, rogue):
    old = sealed_now(lease_number(61), sequence=1, life_s=2.0)
    new = sealed_now(lease_number(61), sequence=2, life_s=60.0)
    assert swarm[0].publish(old, 1)
    assert swarm[0].publish(new, 1)
    key, subkey = place_of(old)
    for peer in swarm:
        assert rogue.send(peer, key, pack(old), old.expires_at, subkey=subkey) == [False]
    storage = swarm[0]._node.protocol.storage
    storage.shelves.clock = lambda: old.expires_at + 1  # this storage is asked what it will hold then
    try:
        assert held_by(swarm[0], new) == new.data
    finally:
        storage.shelves.clock = time.time


def test_one_bad_record_in_a_dictionary_hides_no_other(swarm, client, rogue):
    good = [beat_now(HEARTBEAT, fixed_identity(f"v{i}")) for i in range(3)]
    forged = sealed_now(WANT, STRANGER)
    key, _ = place_of(good[0])
    dictionary = DictionaryDHTValue()
    for subkey, envelope in [("0-bad", forged), *((place_of(envelope)[1], envelope) for envelope in good)]:
        dictionary.store(subkey, pack(envelope), envelope.expires_at)
    assert rogue.send(swarm[1], key, dictionary, dictionary.latest_expiration_time) == [False]
    assert [held_by(swarm[1], envelope) for envelope in good] == [envelope.data for envelope in good]
    rogue.keep(key, pack(forged), forged.expires_at, subkey="0-bad")
    assert {envelope.signer for envelope in client.read("heartbeat", 0)} == {envelope.signer for envelope in good}


def test_a_dictionary_is_kept_also_behind_a_record_that_is_not_new(swarm, rogue):
    known = beat_now(HEARTBEAT, fixed_identity("known"))
    others = [beat_now(HEARTBEAT, fixed_identity(f"other {i}")) for i in range(5)]
    assert swarm[2].publish(known, 1)
    dictionary = DictionaryDHTValue()
    for envelope in [known, *others]:
        dictionary.store(place_of(envelope)[1], pack(envelope), envelope.expires_at)
    rogue.send(swarm[2], place_of(known)[0], dictionary, dictionary.latest_expiration_time)
    assert [held_by(swarm[2], envelope) for envelope in others] == [envelope.data for envelope in others]


def test_a_peer_that_claims_an_infinite_expiry_does_not_hide_what_others_hold(swarm, client, rogue):
    shown, hidden = (sealed_now(lease_number(attempt)) for attempt in (62, 63))
    assert all(swarm[0].publish_many([shown, hidden], 1))
    key, subkey = place_of(shown)
    partial = DictionaryDHTValue()
    partial.store(subkey, pack(shown), shown.expires_at)
    rogue.keep(key, partial, math.inf)
    for _ in range(5):
        assert hidden in client.read("lease")


def test_a_thousand_invented_submissions_take_no_place_and_an_honest_one_gets_in(swarm, client, rogue):
    """Of fresh keys, with no lease, with a forged one, and with one that an honest volunteer showed."""
    honest = beat_now(SUBMISSION, VOLUNTEER)
    lent = honest.payload.model_copy(update={"pull_request": 9})
    forged = sealed_now(LEASE.model_copy(update={"volunteer": STRANGER.public_key}), STRANGER).data.decode()
    borrowing = HEARTBEAT.model_copy(update={"lease": forged})
    payloads = [SUBMISSION] * 500 + [HEARTBEAT] * 300 + [lent] * 100 + [borrowing] * 100
    invented = [sealed_now(payload, fixed_identity(f"invented {i}")) for i, payload in enumerate(payloads)]
    held_before = [peer._node.protocol.storage.num_records() for peer in swarm]
    for peer in swarm:
        refused = dict(peer.refusals)
        assert rogue.send_all(peer, invented) == [False] * 1000
        assert peer.refusals["no-lease"] - refused.get("no-lease", 0) == 800
        assert peer.refusals["foreign-lease"] - refused.get("foreign-lease", 0) == 200
    assert [peer._node.protocol.storage.num_records() for peer in swarm] == held_before
    assert client.publish(honest, 1)
    assert client.read("submission", 0) == [honest]


def test_garbage_in_a_store_request_harms_nobody(swarm, rogue):
    key = dht_key(RUN_ID, "task")
    before = sum(swarm[0].refusals.values())
    for subkey, value in [("expert-0", b"\xc1"), ("expert-0", b"\xd4\x50\x00"), (b"\x00" * 10_000, b"x"), (None, b"")]:
        assert rogue.send(swarm[0], key, value, time.time() + 60, subkey=subkey) == [False]
    assert sum(swarm[0].refusals.values()) == before + 4
    assert swarm[0].healthy()


def test_an_honest_record_is_confirmed_whatever_a_lawless_replica_says(swarm, client, rogue):
    squatted = sealed_now(lease_number(64))
    key, subkey = place_of(squatted)
    rogue.keep(key, b"EVIL", 1e12, subkey=subkey)
    assert client.publish(squatted, 1)
    assert squatted in swarm[1].read("lease")


def test_every_peer_is_healthy(swarm, client):
    assert all(peer.healthy() for peer in [*swarm, client])
    assert client.num_neighbours >= 3


def test_no_peer_asks_for_ports_or_relays_and_a_client_does_not_even_listen(swarm, client):
    daemons = daemons_of()
    for peer in [*swarm, client]:
        command = daemons[peer._node.daemon.p2p._child.pid]
        assert {"-natPortMap=0", "-autonat=0", "-relay=0", "-autoRelay=0"} <= set(command)
        assert ("-noListenAddrs=1" in command) == (peer is client)
        assert any(part.startswith("-hostAddrs=/ip4/127.0.0.1/") for part in command) == (peer is not client)


def test_keys_are_hashed_alike_by_the_adapter_and_by_hivemind(swarm):
    names = swarm[0]._node.protocol.record_validator._names
    assert names[DHTID.generate(source=dht_key(RUN_ID, "run")).to_bytes()] == dht_key(RUN_ID, "run")
