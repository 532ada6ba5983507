"""What the node keeps published in the DHT."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from deadlines import DEADLINE_S
from units import RUN

from paris.node.swarm import announcer as announcer_module
from paris.node.swarm.announcer import Announcer
from paris.node.swarm.held_leases import HeldLeases
from paris.protocol.admission import LEASE_GRACE_S
from paris.protocol.clock import ClockWatch
from paris.protocol.envelope import seal
from paris.protocol.outcome import Outcome
from paris.protocol.payload import Payload
from paris.protocol.runid import make_run_id
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity
from paris.protocol.work_records import Heartbeat, Holding, Lease, Want

ME = Identity.generate()


class Ears:
    """Stands where the DHT is and keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list = []
        self.leases: list = []
        self.answers = True
        self.refuses: Callable[[Payload], object] = lambda payload: False
        self.news = threading.Condition()

    def publish(self, envelope) -> Outcome:
        with self.news:
            self.heard.append(envelope)
            self.news.notify_all()
        if self.refuses(envelope.payload):
            return Outcome.REFUSED
        return Outcome.STORED if self.answers else Outcome.UNANSWERED

    def read(self, kind: str) -> list:
        return {"lease": self.leases}[kind]

    def grant(self, sequence: int = 1, expires_at: float = 2e9, coordinator: Identity | None = None, run: str = RUN):
        """A lease of this node, as its coordinator sealed it."""
        lease = Lease(
            lease_id="0" * 32,
            task_id="expert-0",
            attempt=1,
            volunteer=ME.public_key,
            granted_at=1000.0,
            expires_at=expires_at,
        )
        times = {"sequence": sequence, "issued_at": 1000.0, "expires_at": 1900.0}
        self.leases.append(seal(lease, coordinator or Identity.generate(), run_id=run, **times))
        return self.leases[-1]

    def wait(self, count: int) -> list:
        with self.news:
            assert self.news.wait_for(lambda: len(self.heard) >= count, timeout=DEADLINE_S)
            return list(self.heard)


def granted() -> Ears:
    """The DHT of a run in which this node has a lease."""
    ears = Ears()
    ears.grant()
    return ears


def heartbeat(step: int, state: str = "training") -> Heartbeat:
    return Heartbeat(lease_id="0" * 32, task_id="expert-0", attempt=1, state=state, step=step)


WANT = Want(name="ada", device="cpu", memory_bytes=1, disk_bytes=1, state="waiting", node_version="0.1.0", audits=True)
NEW_FORMS = [WANT, heartbeat(1, "paused").model_copy(update={"pause_reason": "battery"})]


@pytest.mark.parametrize("payload", NEW_FORMS, ids=["want", "heartbeat"])
def test_what_peers_of_an_earlier_version_refuse_is_published_as_they_know_it(payload):
    ears = granted()
    ears.refuses = lambda told: getattr(told, "audits", None) or getattr(told, "state", "") == "paused"
    announcer = Announcer(ears, Sealer(ME, RUN), 1.0)
    assert announcer.publish_once(payload)
    first, second = ears.heard
    assert second.sequence > first.sequence
    told = second.payload.model_dump()
    assert not {"audits", "pause_reason"} & set(told)
    assert told["state"] == ("waiting" if payload is WANT else "training")
    assert (payload is WANT) or told["step"] == 1


def test_of_a_holding_that_is_refused_the_addresses_without_a_relay_are_published_if_there_are_any():
    direct = f"/ip4/203.0.113.8/tcp/31337/p2p/{'Q' * 46}"
    relayed = f"/ip4/203.0.113.7/tcp/31337/p2p/{'R' * 46}/p2p-circuit/p2p/{'Q' * 46}"
    both = Holding(cluster=0, manifest_sha256="0" * 64, addresses=(relayed, direct))
    ears = Ears()
    ears.refuses = lambda told: relayed in told.addresses
    announcer = Announcer(ears, Sealer(ME, RUN), 1.0)
    assert announcer.publish_once(both)
    assert [envelope.payload.addresses for envelope in ears.heard] == [(relayed, direct), (direct,)]
    assert not announcer.publish_once(both.model_copy(update={"addresses": (relayed,)}))
    ears.refuses = lambda told: True
    assert not announcer.publish_once(both.model_copy(update={"addresses": (direct,)}))
    assert len(ears.heard) == 4


def test_a_record_is_published_once_where_peers_take_it_or_it_has_no_earlier_form():
    ears = granted()
    announcer = Announcer(ears, Sealer(ME, RUN), 1.0)
    assert all(announcer.publish_once(payload) for payload in NEW_FORMS)
    assert [envelope.payload.state for envelope in ears.heard] == ["waiting", "paused"]
    ears.refuses = lambda told: True
    assert not announcer.publish_once(heartbeat(1))
    assert len(ears.heard) == 3


def test_a_republished_record_has_a_greater_sequence_and_a_later_expiry():
    ears = granted()
    announcer = Announcer(ears, Sealer(ME, RUN), every_s=0.01)
    announcer.start()
    announcer.publish(heartbeat(1))
    ears.wait(3)
    announcer.publish(heartbeat(2), now=False)
    heard = ears.wait(len(ears.heard) + 2)
    announcer.stop()
    for earlier, later in pairwise(heard):
        assert later.sequence > earlier.sequence
        assert later.expires_at > earlier.expires_at
    assert heard[-1].payload.step == 2


@pytest.mark.parametrize(("every_s", "life_s"), [(1.0, 60.0), (14.0, 60.0), (16.0, 64.0), (100.0, 400.0)])
def test_a_record_outlives_four_periods_and_a_minute(every_s, life_s):
    ears = granted()
    sealer = Sealer(ME, RUN, lambda: 1000.0)
    Announcer(ears, sealer, every_s, lambda: 1000.0).publish_once(heartbeat(1))
    (envelope,) = ears.heard
    assert envelope.expires_at - envelope.issued_at == life_s


def test_a_dead_dht_stops_nothing_and_a_last_record_is_published_once():
    ears = granted()
    ears.answers = False
    announcer = Announcer(ears, Sealer(ME, RUN), every_s=3600)
    announcer.start()
    announcer.publish(heartbeat(1))
    ears.wait(1)
    assert announcer.last_accepted_at is None
    ears.answers = True
    assert announcer.publish_once(heartbeat(5, "failed"))
    assert announcer.last_accepted_at is not None
    announcer.stop()
    assert [envelope.payload.step for envelope in ears.heard] == [1, 5]


def test_a_clock_that_was_ahead_for_a_while_silences_nothing(monkeypatch):
    """Each jump publishes the record again at once; periods go on whatever the wall clock shows."""
    monkeypatch.setattr(announcer_module, "_WATCH_EVERY_S", 0.01)
    ears, ahead_s, jumps = granted(), [0.0], []

    def wall() -> float:
        return time.time() + ahead_s[0]

    sealer = Sealer(ME, RUN, wall)
    announcer = Announcer(ears, sealer, 3600, jumps.append, watch=ClockWatch(wall))
    announcer.start()
    announcer.publish(heartbeat(1))
    ears.wait(1)
    ahead_s[0] = 3600.0
    ears.wait(2)
    ahead_s[0] = 0.0
    first, during, after = ears.wait(3)
    announcer.stop()
    assert [round(jump_s) for jump_s in jumps] == [3600, -3600]
    assert first.sequence < during.sequence < after.sequence
    assert after.issued_at < during.issued_at, "the record has the corrected time"


def test_a_heartbeat_carries_the_newest_lease_and_waits_for_one():
    ears, now = Ears(), [1000.0]
    sealer = Sealer(ME, RUN, lambda: now[0])
    announcer = Announcer(ears, sealer, 15.0)
    announcer.leases = HeldLeases(ears, ME.public_key, lambda: now[0])
    assert not announcer.publish_once(heartbeat(1)), "no peer shows a lease"
    assert ears.heard == []
    first = ears.grant(expires_at=1060.0)
    renewed = ears.grant(sequence=2, expires_at=1120.0)
    ears.leases.reverse()
    assert announcer.publish_once(heartbeat(1))
    assert ears.heard[-1].payload.lease == renewed.data.decode() != first.data.decode()
    renewed = ears.grant(sequence=3, expires_at=1180.0)
    now[0] = 1120.0
    assert announcer.publish_once(heartbeat(2)), "the known one has ended"
    assert ears.heard[-1].payload.lease == renewed.data.decode()


@pytest.mark.parametrize("is_damaged", [False, True])
def test_after_a_restart_the_lease_is_known_although_no_peer_shows_it_any_more(tmp_path, is_damaged):
    ears, path, coordinator = Ears(), tmp_path / "lease.json", Identity.generate()
    run = make_run_id("tiny", coordinator.public_key)
    sealed = ears.grant(coordinator=coordinator, run=run)
    Announcer(ears, Sealer(ME, run), 15.0).leases.keep(sealed.payload, path, run)
    assert path.read_bytes() == sealed.data
    if is_damaged:
        path.write_bytes(b"half")
    else:
        ears.leases.clear()
    announcer = Announcer(ears, Sealer(ME, run), 15.0)
    announcer.leases.keep(sealed.payload, path, run)
    assert announcer.publish_once(heartbeat(1))
    assert ears.heard[-1].payload.lease == sealed.data.decode()
    assert path.read_bytes() == sealed.data


def test_a_lease_is_over_when_the_grace_of_the_last_renewal_is(tmp_path):
    ears, now = Ears(), [1000.0]
    granted = ears.grant(expires_at=1060.0).payload
    ears.grant(sequence=2, expires_at=1120.0)
    leases = HeldLeases(ears, ME.public_key, lambda: now[0])
    leases.keep(granted, tmp_path / "lease.json", RUN)
    now[0] = 1120.0 + LEASE_GRACE_S
    assert not leases.is_over(granted.lease_id)
    now[0] += 1.0
    assert leases.is_over(granted.lease_id)
    assert not leases.is_over("1" * 32), "of another lease nothing is known"


def test_a_kind_with_a_short_life_is_published_more_often_than_the_heartbeat():
    ears, now = Ears(), [1000.0]
    want = Want(name="v", device="cpu", memory_bytes=1, disk_bytes=1, state="waiting", node_version="0.1.0")
    announcer = Announcer(ears, Sealer(ME, RUN, lambda: now[0]), 3600.0, clock=lambda: now[0])
    announcer.publish_and_wait(want)
    (envelope,) = ears.heard
    due_at = announcer._published["want"].next_at
    assert due_at - now[0] <= (envelope.expires_at - envelope.issued_at) / 4
