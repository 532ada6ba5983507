"""The coordinator's memory on disk: what was saved comes back, whole ticks only."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import OperationalError

from paris.coordinator.service.publisher import LIFE_S, Publisher, wanted_records
from paris.coordinator.state.events import Event
from paris.coordinator.state.model import LeaseState, RouterState, State, TaskState, VolunteerState
from paris.coordinator.state.store import Store
from paris.protocol.envelope import open_envelope
from paris.protocol.records import Heartbeat, Lease, Task, Want
from paris.protocol.runid import make_run_id
from paris.protocol.signing import Identity

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


def beat(step: int, loss: float | None = 0.5) -> Heartbeat:
    return Heartbeat(lease_id="a" * 32, task_id="expert-0", attempt=1, state="training", step=step, loss=loss)


def full_state() -> State:
    want = Want(name="ada", device="cpu", memory_bytes=1, disk_bytes=1, state="waiting", node_version="0.1.0")
    return State(
        tasks={"expert-0": TaskState(task=TASK, lease_id="a" * 32)},
        leases={"a" * 32: LeaseState(lease=LEASE, heartbeat=beat(3), heartbeat_at=4.0)},
        volunteers={
            "b" * 64: VolunteerState(public_key="b" * 64, want=want, seen_at=1.0, want_sequence=1, waiting_since=1.0)
        },
        router=RouterState(phase="training"),
    )


def test_a_state_comes_back_as_it_was_saved(tmp_path):
    store = Store(tmp_path / "state.sqlite")
    store.save(State(), full_state(), [Event("joined", "ada")], now=5.0)
    store.close()
    again = Store(tmp_path / "state.sqlite")
    assert again.load() == full_state()
    assert [(e.at, e.kind, e.text) for e in again.events()] == [(5.0, "joined", "ada")]


def test_a_tick_is_saved_whole_or_not_at_all(tmp_path):
    store = Store(tmp_path / "state.sqlite")
    store.save(State(), full_state(), [], now=1.0)
    changed = full_state().with_router(RouterState(phase="done"))
    broken = [Event("fine", "one"), Event("broken", None)]
    with pytest.raises(Exception, match="NOT NULL"):
        store.save(full_state(), changed, broken, now=2.0)
    assert store.load() == full_state()
    assert store.events() == []


def test_the_loss_curve_keeps_each_step_once(tmp_path):
    store = Store(tmp_path / "state.sqlite")
    old = full_state()
    store.save(State(), old, [], now=1.0)
    for step in (3, 5, 5, 8):
        new = old.with_lease(LeaseState(lease=LEASE, heartbeat=beat(step, loss=1 / step), heartbeat_at=float(step)))
        store.save(old, new, [], now=float(step))
        old = new
    assert [step for step, _ in store.curves()["expert-0"]] == [3, 5, 8]


def test_a_word_for_the_service_is_read_once(tmp_path):
    store = Store(tmp_path / "state.sqlite")
    store.raise_flag("train-router")
    assert store.take_flag("train-router") == "1"
    assert store.take_flag("train-router") is None


def test_a_file_that_is_no_database_is_said(tmp_path):
    (tmp_path / "state.sqlite").write_bytes(b"not a database at all, but long enough to be read as one" * 40)
    with pytest.raises((OperationalError, Exception), match="not a database"):
        Store(tmp_path / "state.sqlite").load()


def test_records_are_sealed_again_at_a_third_of_their_life_always_later():
    identity = Identity.generate()
    run_id = make_run_id("r", identity.public_key)
    publisher = Publisher(identity, run_id)
    first = publisher.due([TASK], now=1000.0)
    assert len(first) == 1
    assert publisher.due([TASK], now=1000.0 + LIFE_S / 4) == []
    again = publisher.due([TASK], now=1000.0 + LIFE_S / 2)
    assert again[0].expires_at > first[0].expires_at
    assert again[0].sequence > first[0].sequence
    opened = open_envelope(again[0].data, run_id=run_id, coordinator=identity.public_key, now=1000.0 + LIFE_S / 2)
    assert opened.payload == TASK


def test_only_the_last_attempts_are_published():
    leases = {f"{n:032x}": LEASE.model_copy(update={"lease_id": f"{n:032x}", "attempt": n}) for n in range(1, 8)}
    state = State(
        tasks={"expert-0": TaskState(task=TASK.model_copy(update={"attempt": 7}))},
        leases={lease_id: LeaseState(lease=lease) for lease_id, lease in leases.items()},
    )
    published = [record.attempt for record in wanted_records(None, [], state) if isinstance(record, Lease)]
    assert published == [5, 6, 7]


def test_a_change_and_a_failed_store_are_published_at_once():
    identity = Identity.generate()
    publisher = Publisher(identity, make_run_id("r", identity.public_key))
    first = publisher.due([TASK], now=1000.0)
    changed = TASK.model_copy(update={"state": "leased"})
    assert [e.payload for e in publisher.due([changed], now=1001.0)] == [changed]
    publisher.forget(publisher.due([TASK], now=1002.0))
    assert publisher.due([TASK], now=1003.0)[0].sequence > first[0].sequence
