"""Each time of a state moves with the clock that took it, and none of an earlier service lies in the future."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from test_audits import handed_in, opened, step, taker
from tick_world import PEOPLE, START, beat, held

from paris.coordinator.decisions.clock_moves import moved, without_future
from paris.coordinator.state.model import State
from paris.protocol.audit_order import AuditOrder
from paris.protocol.work_records import Challenge

TIMES = (
    ("leases", "granted_at"),
    ("leases", "expires_at"),
    ("leases", "heartbeat_at"),
    ("volunteers", "seen_at"),
    ("volunteers", "waiting_since"),
    ("volunteers", "faulted_at"),
    ("volunteers", "copied_at"),
    ("submissions", "seen_at"),
    ("submissions", "retry_at"),
    ("submissions", "stored_at"),
    ("submissions", "withdrawn_at"),
    ("submissions", "opened_at"),
    ("submissions", "drawn_at"),
    ("submissions", "answer_until"),
    ("audits", "granted_at"),
)


def full_state() -> State:
    """One task, one leg whose audit is drawn, and every time that rows can have; all are START + 100."""
    state = opened(handed_in(auditors=(1,))).state
    state = step(state, START + 30, beat(held(state).lease, 0, START + 30, 50), taker(1, START + 30, "busy")).state
    at = START + 100
    leases = {
        key: row.model_copy(
            update={
                "lease": row.lease.model_copy(update={"granted_at": at, "expires_at": at, "audit": None}),
                "heartbeat_at": at,
            }
        )
        for key, row in state.leases.items()
    }
    times = {"seen_at": at, "waiting_since": at, "faulted_at": at, "copied_at": at}
    volunteers = {key: row.model_copy(update=times) for key, row in state.volunteers.items()}
    submissions = {}
    for key, row in state.submissions.items():
        asked = Challenge(
            lease_id=key, task_id="expert-0", attempt=1, volunteer=PEOPLE[0].public_key, steps=(100,), answer_until=at
        )
        audit = row.audit.model_copy(update={"opened_at": at, "drawn_at": at})
        times = {"seen_at": at, "retry_at": at, "stored_at": at, "withdrawn_at": at}
        submissions[key] = row.model_copy(update={**times, "challenge": asked, "audit": audit})
    audits = {key: row.model_copy(update={"granted_at": at}) for key, row in state.audits.items()}
    return replace(state, leases=leases, volunteers=volunteers, submissions=submissions, audits=audits)


def time_of(state: State, table: str, name: str) -> float:
    (*_, row) = getattr(state, table).values()
    parts = (row, *(getattr(row, part, None) for part in ("lease", "challenge", "audit")))
    return float(next(getattr(part, name) for part in parts if hasattr(part, name)))


@pytest.mark.parametrize(("table", "name"), TIMES)
def test_a_time_that_this_service_took_moves_and_one_of_before_stays(table, name):
    state = full_state()
    assert time_of(state, table, name) == START + 100
    assert time_of(moved(state, State(), 7.5), table, name) == START + 107.5
    assert time_of(moved(state, State(), -7.5), table, name) == START + 92.5
    assert time_of(moved(state, state, 7.5), table, name) == START + 100


@pytest.mark.parametrize(("table", "name"), TIMES)
def test_a_loaded_time_is_now_at_the_latest_and_the_end_of_a_lease_its_life_later(table, name):
    latest = {"answer_until": START + 100, "expires_at": START + 60}.get(name, START)
    assert time_of(without_future(full_state(), START, 60.0), table, name) == latest
    assert time_of(without_future(full_state(), START + 200, 60.0), table, name) == START + 100


def test_a_loaded_audit_keeps_the_life_that_it_was_given():
    state = full_state()
    key, row = next(iter(state.leases.items()))
    update = {"expires_at": START + 8000, "audit": AuditOrder(nonce="a" * 64, start=None)}
    long = row.model_copy(update={"lease": row.lease.model_copy(update=update)})
    loaded = without_future(replace(state, leases={key: long}), START, 60.0)
    assert loaded.leases[key].lease.expires_at == START + 7900


@pytest.mark.parametrize("table", ["leases", "volunteers", "submissions", "audits"])
def test_a_row_without_a_changed_time_is_the_same_row(table):
    state = full_state()
    for after in (moved(state, state, 7.5), without_future(state, START + 200, 1000.0)):
        rows: Any = getattr(after, table)
        assert all(row is getattr(state, table)[key] for key, row in rows.items())


def test_a_time_that_is_not_set_stays_unset():
    state = handed_in(auditors=(1,))
    after = moved(state, State(), 60.0)
    (row,), (lease,) = after.submissions.values(), after.leases.values()
    assert (row.retry_at, row.stored_at, row.withdrawn_at, row.challenge, row.audit) == (0.0, 0.0, 0.0, None, None)
    assert lease.heartbeat_at is None
    assert {known.copied_at for known in after.volunteers.values()} == {0.0}
