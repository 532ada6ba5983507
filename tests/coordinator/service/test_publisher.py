"""Which records the DHT should hold, and when each is sealed again."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hub_way_world import SPEC

from paris.coordinator.errors import DatabaseError, SignerError
from paris.coordinator.run.lives import LIFE_S
from paris.coordinator.service.publisher import Publisher, records_to_publish
from paris.coordinator.service.sealed_records import SealedRecords
from paris.coordinator.service.upload import publish_run_json
from paris.coordinator.state.model import LeaseState, State, SubmissionState, TaskState
from paris.protocol.admission import LEASE_GRACE_S
from paris.protocol.envelope import open_envelope
from paris.protocol.keys import dht_key, subkey_of
from paris.protocol.run_records import SubmittedFile, Task
from paris.protocol.runid import make_run_id
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity
from paris.protocol.validator import Accepted, RecordJudge
from paris.protocol.work_records import Lease, Submission, Verdict

TASK = Task(
    task_id="expert-0",
    cluster=0,
    steps=10,
    batch_size=2,
    manifest_sha256="0" * 64,
    data_bytes=1,
    min_memory_bytes=0,
    min_disk_bytes=0,
    deadline_s=10,
    grace_s=1,
    state="open",
)
LEASE = Lease(lease_id="a" * 32, task_id="expert-0", attempt=1, volunteer="b" * 64, granted_at=1.0, expires_at=2.0)


def judged(lease: Lease) -> SubmissionState:
    """Accepted work on a lease."""
    ids = {"lease_id": lease.lease_id, "task_id": lease.task_id, "attempt": lease.attempt}
    file = SubmittedFile(path="submissions/x/expert.safetensors", sha256="0" * 64, bytes=1)
    submission = Submission(
        **ids,
        name="ada",
        repo="org/model",
        pull_request=1,
        commit="1" * 40,
        files=(file,),
        steps=10,
        final_loss=0.5,
        commitment="c" * 64,
    )
    verdict = Verdict(**ids, volunteer=lease.volunteer, accepted=True, reason="Good.", rungs=())
    return SubmissionState(submission=submission, signer=lease.volunteer, envelope="", seen_at=1.0, verdict=verdict)


class Clock:
    """UTC seconds, as the test sets them."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_whoever_stores_run_json_in_the_dht_keeps_no_later_description_out(tmp_path):
    identity, clock = Identity.generate(), Clock()
    run_id = make_run_id("r", identity.public_key)
    sealer, judge = Sealer(identity, run_id, clock), RecordJudge(run_id, identity.public_key, clock)
    run, hub = SimpleNamespace(run_json=tmp_path / "run.json"), SimpleNamespace(upload_file=lambda *given: None)
    publish_run_json(run, hub, sealer, SPEC)
    copied = open_envelope(run.run_json.read_bytes(), run_id=run_id, coordinator=identity.public_key, now=clock())
    moved = SPEC.model_copy(update={"hub_endpoint": "http://127.0.0.1:2"})
    clock.now += 1
    (published,) = Publisher(sealer, clock).due([moved])
    clock.now += 1
    told = open_envelope(
        SealedRecords(sealer, clock).data(moved), run_id=run_id, coordinator=identity.public_key, now=clock()
    )
    for envelope in (copied, published, told):
        key, subkey = dht_key(run_id, "run"), subkey_of(envelope.payload, envelope.signer)
        assert isinstance(judge.judge(key, subkey, envelope.data, envelope.expires_at), Accepted)
        clock.now += 1


def test_records_are_sealed_again_at_a_third_of_their_life_always_later():
    identity, clock = Identity.generate(), Clock()
    run_id = make_run_id("r", identity.public_key)
    publisher = Publisher(Sealer(identity, run_id, clock), clock)
    first = publisher.due([TASK])
    assert len(first) == 1
    clock.now = 1000.0 + LIFE_S / 4
    assert publisher.due([TASK]) == []
    clock.now = 1000.0 + LIFE_S / 2
    again = publisher.due([TASK])
    assert again[0].expires_at > first[0].expires_at
    assert again[0].sequence > first[0].sequence
    opened = open_envelope(again[0].data, run_id=run_id, coordinator=identity.public_key, now=clock.now)
    assert opened.payload == TASK


@pytest.mark.parametrize(
    ("now", "attempts"), [(2.0 + LEASE_GRACE_S, [1, 3, 5, 6, 7]), (3.0 + LEASE_GRACE_S, [5, 6, 7])]
)
def test_beside_the_last_attempts_leases_are_published_whose_late_work_may_still_come(now, attempts):
    leases = {f"{n:032x}": LEASE.model_copy(update={"lease_id": f"{n:032x}", "attempt": n}) for n in range(1, 8)}
    leases[f"{2:032x}"] = leases[f"{2:032x}"].model_copy(update={"state": "revoked"})
    state = State(
        tasks={"expert-0": TaskState(task=TASK.model_copy(update={"attempt": 7}))},
        leases={lease_id: LeaseState(lease=lease) for lease_id, lease in leases.items()},
        submissions={f"{4:032x}": judged(leases[f"{4:032x}"])},
    )
    published = [record.attempt for record in records_to_publish(None, [], state, now) if isinstance(record, Lease)]
    assert published == attempts


def test_a_change_and_a_failed_store_are_published_at_once():
    identity, clock = Identity.generate(), Clock()
    publisher = Publisher(Sealer(identity, make_run_id("r", identity.public_key), clock), clock)
    first = publisher.due([TASK])
    changed = TASK.model_copy(update={"state": "leased"})
    clock.now = 1001.0
    assert [e.payload for e in publisher.due([changed])] == [changed]
    clock.now = 1002.0
    publisher.republish(publisher.due([TASK]))
    clock.now = 1003.0
    assert publisher.due([TASK])[0].sequence > first[0].sequence


def test_after_a_restart_of_the_peer_everything_is_published_again():
    identity, clock = Identity.generate(), Clock()
    publisher = Publisher(Sealer(identity, make_run_id("r", identity.public_key), clock), clock)
    publisher.due([TASK])
    assert publisher.due([TASK]) == []
    publisher.republish_all()
    assert [e.payload for e in publisher.due([TASK])] == [TASK]


class Rationed:
    """A signer with so many signatures left."""

    def __init__(self, identity: Identity) -> None:
        self._identity, self.public_key, self.left, self.num_made = identity, identity.public_key, 0, 0

    def sign(self, message: bytes) -> str:
        if self.left == 0:
            raise SignerError("The signer refuses: too many.")
        self.left, self.num_made = self.left - 1, self.num_made + 1
        return self._identity.sign(message)


def test_what_was_signed_before_the_signer_refused_is_published_and_not_signed_again():
    signer, clock = Rationed(Identity.generate()), Clock()
    publisher = Publisher(Sealer(signer, make_run_id("r", signer.public_key), clock), clock)
    tasks = [TASK.model_copy(update={"task_id": f"expert-{cluster}", "cluster": cluster}) for cluster in range(5)]
    with pytest.raises(SignerError):
        publisher.due(tasks)
    published = []
    for _ in range(3):
        signer.left = 2
        published.append([envelope.payload.cluster for envelope in publisher.due(tasks)])
    assert published == [[0, 1], [2, 3], [4]]
    assert signer.num_made == 5


def test_what_was_sealed_before_the_database_failed_is_published_by_the_next_step():
    identity, clock, failing = Identity.generate(), Clock(), []

    class Reserving:
        reserved = 0

        def reserve(self, sequence: int) -> None:
            if failing and sequence % 2:
                raise DatabaseError(failing.pop())

    publisher = Publisher(Sealer(identity, make_run_id("r", identity.public_key), clock, Reserving()), clock)
    tasks = [TASK.model_copy(update={"task_id": f"expert-{cluster}", "cluster": cluster}) for cluster in range(3)]
    failing.append("gone")
    with pytest.raises(DatabaseError):
        publisher.due(tasks)
    assert [envelope.payload.cluster for envelope in publisher.due(tasks)] == [0, 1, 2]


def test_a_record_that_is_published_no_more_is_forgotten():
    identity, clock = Identity.generate(), Clock()
    publisher = Publisher(Sealer(identity, make_run_id("r", identity.public_key), clock), clock)
    attempts = [LEASE.model_copy(update={"lease_id": f"{n:032x}", "attempt": n}) for n in range(1, 50)]
    for lease in attempts:
        assert len(publisher.due([TASK, lease])) == (2 if lease.attempt == 1 else 1)
    assert len(publisher._sealed) == 2


def test_a_wall_clock_that_was_set_back_lets_no_record_expire():
    identity, wall, steady = Identity.generate(), Clock(), Clock()
    publisher = Publisher(Sealer(identity, make_run_id("r", identity.public_key), wall), steady)
    publisher.due([TASK])
    wall.now -= 900.0
    steady.now += LIFE_S / 2
    (again,) = publisher.due([TASK])
    assert again.issued_at == wall.now


def test_a_lease_that_was_taken_back_is_told_until_it_would_have_ended():
    """Of parallel leases all but one are taken back at once, most of them of attempts long past."""
    task = TASK.model_copy(update={"attempt": 16})
    taken = LeaseState(lease=LEASE.model_copy(update={"expires_at": 5000.0})).revoked("Another volunteer's work.")
    later = [LEASE.model_copy(update={"attempt": number, "lease_id": f"{number:032x}"}) for number in (14, 15, 16)]
    leases = {held.lease.lease_id: held for held in (taken, *(LeaseState(lease=lease) for lease in later))}
    state = State(tasks={"expert-0": TaskState(task=task)}, leases=leases)
    assert taken.lease in records_to_publish(None, [], state, 5000.0)
    assert taken.lease not in records_to_publish(None, [], state, 5001.0)
