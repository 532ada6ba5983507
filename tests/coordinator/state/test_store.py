"""The coordinator's memory on disk: what was saved comes back, whole ticks only."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import pairwise

import pytest
from sqlalchemy import Engine, event
from tick_world import START, held, leg, leg_step, leg_verdict, run_of, want
from tick_world import beat as beat_of

from paris.coordinator.errors import DatabaseError
from paris.coordinator.state import curves, event_log
from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.invites import IssuedInvite
from paris.coordinator.state.model import (
    LeaseState,
    PauseState,
    RouterState,
    State,
    TaskState,
    VolunteerState,
    WithdrawnInvite,
)
from paris.coordinator.state.orders import Order, OrderKind
from paris.coordinator.state.store import Store
from paris.protocol.audit_order import AuditOrder
from paris.protocol.run_records import Task
from paris.protocol.work_records import Heartbeat, Lease, Want

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


@pytest.fixture
def opened(location):
    """Opens the same state each time that it is called."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(Store(location)))


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
        pause=PauseState(is_paused=True, reason="new bounds", at=3.0),
        withdrawn_invites={"5e" * 16: WithdrawnInvite(invite_id="5e" * 16, reason="posted in public", at=4.0)},
    )


def test_a_state_comes_back_as_it_was_saved(opened):
    store = opened()
    store.save(State(), full_state(), [Event(EventKind.JOINED, "ada")], now=5.0)
    store.close()
    again = opened()
    assert again.load() == full_state()
    assert [(e.at, e.kind, e.text) for e in again.events()] == [(5.0, "joined", "ada")]


def test_a_tick_is_saved_whole_or_not_at_all(opened):
    store = opened()
    store.save(State(), full_state(), [], now=1.0)
    changed = replace(full_state(), router=RouterState(phase="done"))
    broken = [Event(EventKind.OPENED, "one"), Event(EventKind.OPENED, None)]
    with pytest.raises(Exception, match=r"NOT NULL|not-null"):
        store.save(full_state(), changed, broken, now=2.0)
    assert store.load() == full_state()
    assert store.events() == []


def test_the_loss_curve_keeps_each_step_once(opened):
    store = opened()
    old = full_state()
    store.save(State(), old, [], now=1.0)
    for step in (3, 5, 5, 8):
        held = LeaseState(lease=LEASE, heartbeat=beat(step, loss=1 / step), heartbeat_at=float(step))
        new = replace(old, leases={"a" * 32: held})
        store.save(old, new, [], now=float(step))
        old = new
    assert [step for step, _ in store.curves()["expert-0"]] == [3, 5, 8]


def test_saving_many_rows_takes_as_many_statements_as_saving_one(tmp_path):
    def statements(num_rows: int) -> int:
        store, counted = Store(tmp_path / f"{num_rows}.sqlite"), []
        known = full_state().volunteers["b" * 64]
        volunteers = {key: known.model_copy(update={"public_key": key}) for key in map(str, range(num_rows))}

        def count(_connection, _cursor, statement, *_):
            counted.append(statement)

        event.listen(Engine, "before_cursor_execute", count)
        try:
            store.save(State(), State(volunteers=volunteers), [], now=1.0)
        finally:
            event.remove(Engine, "before_cursor_execute", count)
        assert store.load().volunteers == volunteers
        store.close()
        return len(counted)

    assert statements(1) == statements(1000) > 0


def test_a_word_for_the_service_is_read_once(opened):
    store = opened()
    store.set_flag("train-router")
    assert store.flag("train-router") == "1"
    store.save(State(), State(), [], now=1.0)
    assert store.flag("train-router") == "1", "no saved state has taken it in"
    store.save(State(), State(), [], now=1.0, done_flags=["train-router"])
    assert store.flag("train-router") is None


def test_a_file_that_is_no_database_is_said(tmp_path):
    (tmp_path / "state.sqlite").write_bytes(b"not a database at all, but long enough to be read as one" * 40)
    with pytest.raises(DatabaseError, match="not a database"):
        Store(tmp_path / "state.sqlite")


def test_only_the_user_may_read_the_state(tmp_path):
    path = tmp_path / "state.sqlite"
    path.touch(0o644)  # as an earlier version left it
    store = Store(path)
    store.save(State(), full_state(), [], now=1.0)
    assert {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == dict.fromkeys(
        (file.name for file in tmp_path.iterdir()), 0o600
    )


def test_a_long_curve_is_thinned_evenly_and_keeps_its_first_and_last_points(tmp_path, monkeypatch):
    monkeypatch.setattr(curves, "_MAX_POINTS", 64)
    store = Store(tmp_path / "state.sqlite")
    state = full_state()
    store.save(State(), state, [], now=1.0)
    for step in range(4, 504):
        old, state = state, with_beat(state, step)
        store.save(old, state, [], now=float(step))
    steps = [step for step, _ in store.curves()["expert-0"]]
    assert 30 < len(steps) <= 64
    assert (steps[0], steps[-1]) == (3, 503)
    assert steps == sorted(set(steps))
    assert max(after - before for before, after in pairwise(steps)) <= 3 * 500 / 32


def test_steps_that_go_to_and_fro_do_not_let_a_curve_grow(opened, monkeypatch):
    monkeypatch.setattr(curves, "_MAX_POINTS", 64)
    store = opened()
    state = full_state()
    store.save(State(), state, [], now=1.0)
    for number in range(150):
        old, state = state, with_beat(state, 4 + number % 2)
        store.save(old, state, [], now=float(number))
    assert len(store.curves()["expert-0"]) <= 64
    again = opened()
    for number in range(150, 250):
        old, state = state, with_beat(state, 4 + number % 2)
        again.save(old, state, [], now=float(number))
    assert len(again.curves()["expert-0"]) <= 64


def test_the_points_of_an_earlier_attempt_go_when_a_later_one_has_its_first(opened):
    store = opened()
    store.save(State(), full_state(), [], now=1.0)
    second = LEASE.model_copy(update={"lease_id": "c" * 32, "attempt": 2})
    held = LeaseState(lease=second, heartbeat=beat(7).model_copy(update={"lease_id": "c" * 32, "attempt": 2}))
    store.save(full_state(), replace(full_state(), leases={"c" * 32: held}), [], now=2.0)
    assert store.curves() == {"expert-0": [(7, 0.5)]}
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM curves").scalar() == 1


def lease_row(letter: str, attempt: int, step: int, **fields) -> LeaseState:
    names = {"lease_id": letter * 32, "attempt": attempt}
    heartbeat = beat(step).model_copy(update=names)
    return LeaseState(lease=LEASE.model_copy(update={**names, **fields}), heartbeat=heartbeat)


def saved_in_turn(store: Store, *rows: LeaseState) -> None:
    state = full_state()
    store.save(State(), state, [], now=1.0)
    for number, row in enumerate(rows):
        old, state = state, replace(state, leases={**state.leases, row.lease.lease_id: row})
        store.save(old, state, [], now=2.0 + number)


def test_the_heartbeats_of_an_audit_leave_the_curve_of_its_task_alone(opened):
    store = opened()
    order = AuditOrder(nonce="a" * 64, start=None)
    saved_in_turn(store, lease_row("c", 1, 6, audit=order), lease_row("d", 2, 7, audit=order))
    assert store.curves() == {"expert-0": [(3, 0.5)]}


@pytest.mark.parametrize(
    ("seen", "steps"),
    [
        ([("c", 2, 1), ("a", 1, 6), ("c", 2, 2)], [3, 6]),
        ([("c", 2, 8), ("a", 1, 7), ("c", 2, 9)], [8, 9]),
        ([("c", 2, 8), ("a", 1, 9)], [9]),
    ],
)
def test_of_parallel_leases_the_one_with_the_most_steps_has_the_curve(opened, seen, steps):
    store = opened()
    saved_in_turn(store, *(lease_row(*fields) for fields in seen))
    assert store.curves() == {"expert-0": [(step, 0.5) for step in steps]}


@pytest.mark.parametrize(("later", "steps"), [([], [3, 9]), ([("c", 2, 1)], [1])])
def test_a_lease_that_was_taken_back_has_the_curve_until_another_one_reports(opened, later, steps):
    store = opened()
    rows = [lease_row("a", 1, 9), lease_row("a", 1, 9, state="revoked"), *(lease_row(*fields) for fields in later)]
    saved_in_turn(store, *rows)
    assert [step for step, _ in store.curves()["expert-0"]] == steps


def test_work_that_was_refused_leaves_the_curve_to_the_next_attempt(opened):
    store, state = opened(), leg_step(run_of(1), START, want(0, START)).state
    store.save(State(), state, [], now=START)
    first = held(state)
    refused = (
        beat_of(first.lease, 0, START + 1, 200),
        leg(first, 0, START + 2),
        leg_verdict(state, first.lease, False),
    )
    for number, seen in enumerate(refused, start=1):
        old, state = state, leg_step(state, START + number, seen).state
        store.save(old, state, [], now=START + number)
    second = held(state).lease
    assert second.attempt == 2
    after = leg_step(state, START + 9, beat_of(second, 0, START + 9, 10)).state
    store.save(state, after, [], now=START + 9)
    assert [step for step, _ in store.curves()["expert-0"]] == [10]


def test_the_curve_of_a_relay_has_the_legs_before_and_nothing_that_a_refused_one_reported(opened):
    store = opened()
    legs = (("c", 2, 5, 4), ("c", 2, 8, 4), ("d", 3, 6, 4), ("d", 3, 9, 4))
    rows = [lease_row(letter, attempt, step, start_step=start) for letter, attempt, step, start in legs]
    saved_in_turn(store, *rows[:2])
    assert [step for step, _ in store.curves()["expert-0"]] == [3, 5, 8]
    store.close()
    again = opened()
    state = replace(full_state(), leases={**full_state().leases, "c" * 32: rows[1].revoked("refused")})
    for row in rows[2:]:
        old, state = state, replace(state, leases={**state.leases, row.lease.lease_id: row})
        again.save(old, state, [], now=9.0)
    assert [step for step, _ in again.curves()["expert-0"]] == [3, 6, 9]


def test_of_the_attempts_that_an_older_file_has_the_last_one_is_kept(tmp_path):
    file = tmp_path / "state.sqlite"
    Store(file).close()
    with closing(sqlite3.connect(file)) as connection, connection:
        rows = [("expert-0", 1, 90, 0.5), ("expert-0", 2, 10, 0.7), ("expert-1", 1, 20, 0.6)]
        connection.executemany("INSERT INTO curves (task_id, attempt, step, loss) VALUES (?, ?, ?, ?)", rows)
        connection.execute("PRAGMA user_version = 11")
    with closing(Store(file)) as store:
        assert store.curves() == {"expert-0": [(10, 0.7)], "expert-1": [(20, 0.6)]}


def test_the_newest_events_are_kept(opened, monkeypatch):
    monkeypatch.setattr(event_log, "_MAX_EVENTS", 10)
    store = opened()
    for number in range(25):
        store.save(State(), State(), [Event(EventKind.JOINED, str(number))], now=float(number))
    assert [event.text for event in store.events()] == [str(number) for number in range(15, 25)]
    assert [event.text for event in store.events(after=store.events()[-2].id)] == ["24"]


def test_the_state_is_for_its_owner_alone_and_on_the_disk_when_it_is_saved(tmp_path):
    store = Store(tmp_path / "state.sqlite")
    assert stat.S_IMODE((tmp_path / "state.sqlite").stat().st_mode) == 0o600
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL


def with_beat(state: State, step: int) -> State:
    held = LeaseState(lease=LEASE, heartbeat=beat(step), heartbeat_at=float(step))
    return replace(state, leases={"a" * 32: held})


def test_invites_that_were_made_are_listed_oldest_first_and_outlive_a_save(opened):
    store = opened()
    later, first = IssuedInvite("ab" * 16, 3, 20.0, 90.0), IssuedInvite("cd" * 16, 1, 10.0, 80.0)
    for invite in (later, first):
        store.add_invite(invite)
    store.save(State(), full_state(), [], now=30.0)
    assert store.invites() == [first, later]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_older_state_is_migrated_with_its_orders_and_takes_new_ones(tmp_path, version):
    path = tmp_path / "state.sqlite"
    store = Store(path)
    store.save(State(), full_state(), [], now=1.0)
    store.close()
    with closing(sqlite3.connect(path)) as db:  # as that version left it
        db.execute("DROP TABLE orders")
        if version == 3:
            db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, kind TEXT, subject TEXT, reason TEXT)")
            db.execute("INSERT INTO orders VALUES (7, 'revoke', 'expert-0', 'old')")
        db.execute(f"PRAGMA user_version = {version}")
        db.commit()
    migrated = Store(path)
    assert migrated.load() == full_state()
    migrated.add_order(Order(OrderKind.ROLL_BACK, "expert-0", step=5))
    before = [Order(OrderKind.REVOKE, "expert-0", "old")] if version == 3 else []
    assert list(migrated.orders().values()) == [*before, Order(OrderKind.ROLL_BACK, "expert-0", step=5)]
