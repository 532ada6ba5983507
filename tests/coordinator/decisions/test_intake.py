"""What each observation changes, and what it must not change."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tick_world import PEOPLE, POLICY, START, beat, lease_of, registration, run_of, step, submission, verdict, want

from paris.coordinator.decisions.observations import (
    Close,
    Closed,
    RouterRequested,
    RouterTrained,
    VerificationFailed,
    Verify,
)
from paris.coordinator.decisions.tick import tick
from paris.coordinator.state.model import RouterState, State


def kinds(decision) -> list[str]:
    return [str(event.kind) for event in decision.events]


def leased(num_tasks: int = 1):
    state = step(run_of(num_tasks), START, want(0, START)).state
    return state, lease_of(state)


def submitted():
    state, lease = leased()
    return step(state, START + 1, submission(lease, 0, START + 1)).state, lease


def changed(received, **fields):
    """The same observation with other fields in its payload."""
    envelope = received.envelope
    return type(received)(replace(envelope, payload=envelope.payload.model_copy(update=fields)))


def volunteer_of(state, who: int = 0):
    return state.volunteers[PEOPLE[who].public_key]


def test_a_volunteer_joins_once_with_its_memory_in_the_log():
    decision = step(State(), START, want(0, START, memory_bytes=3 * 2**29))
    (event,) = decision.events
    assert event.text.endswith("joined: cpu, 1.5 GiB.")
    assert kinds(step(decision.state, START + 1, want(0, START + 1))) == []


def test_only_a_newer_want_counts():
    state = step(State(), START + 10, want(0, START + 10)).state
    for old in (START + 5, START + 10):
        assert step(state, START + 20, want(0, old, state="leaving")).state == state
    newer = step(state, START + 20, want(0, START + 20, state="busy")).state
    assert (volunteer_of(newer).want.state, volunteer_of(newer).want_sequence) == ("busy", int((START + 20) * 1000))


def test_a_want_is_seen_at_its_issue_and_never_in_the_future():
    assert volunteer_of(step(State(), START + 30, want(0, START)).state).seen_at == START
    assert volunteer_of(step(State(), START, want(0, START + 2)).state).seen_at == START
    again = step(step(State(), START, want(0, START)).state, START + 30, want(0, START + 25)).state
    assert volunteer_of(again).seen_at == START + 25


def test_waiting_goes_on_over_wants_and_begins_again_after_work():
    state = step(State(), START, want(0, START)).state
    state = step(state, START + 10, want(0, START + 10)).state
    assert volunteer_of(state).waiting_since == START
    state = step(state, START + 20, want(0, START + 20, state="busy")).state
    state = step(state, START + 30, want(0, START + 30)).state
    assert volunteer_of(state).waiting_since == START + 30


def test_only_a_newer_heartbeat_counts_and_a_step_back_in_training_is_told():
    state, lease = leased()
    state = step(state, START + 10, beat(lease, 0, START + 10, 50)).state
    held = state.leases[lease.lease_id]
    assert (held.heartbeat.step, held.heartbeat_at, held.heartbeat_sequence) == (
        50,
        START + 10,
        int((START + 10) * 1000),
    )
    assert step(state, START + 11, beat(lease, 0, START + 10, 60)).state == state
    assert step(state, START + 11, beat(lease, 0, START + 9, 60)).state == state
    assert kinds(step(state, START + 11, beat(lease, 0, START + 11, 50))) == []
    assert kinds(step(state, START + 11, beat(lease, 0, START + 11, 40, state="uploading"))) == []
    back = step(state, START + 11, beat(lease, 0, START + 11, 40))
    assert kinds(back) == ["resumed"]
    assert back.state.leases[lease.lease_id].heartbeat.step == 40


@pytest.mark.parametrize("step_number", [999, 1000])
def test_a_heartbeat_of_the_last_step_counts(step_number):
    state, lease = leased()
    after = step(state, START + 1, beat(lease, 0, START + 1, step_number)).state
    assert after.leases[lease.lease_id].heartbeat.step == step_number


@pytest.mark.parametrize(
    "fields",
    [{"lease_id": "f" * 32}, {"task_id": "expert-9"}, {"task_id": "expert-1"}, {"attempt": 2}, {"pull_request": None}],
)
def test_a_submission_that_does_not_fit_its_lease_changes_nothing(fields):
    state, lease = leased(2)
    false = changed(submission(lease, 0, START + 1), **fields)
    assert step(state, START + 1, false).state == state


def test_a_submission_by_another_key_changes_nothing():
    state, lease = leased()
    assert step(state, START + 1, submission(lease, 1, START + 1)).state.submissions == {}


def test_a_submission_is_taken_once_and_moves_its_task_on():
    state, lease = leased()
    first = submission(lease, 0, START + 1)
    decision = step(state, START + 1, first)
    state = decision.state
    assert kinds(decision) == ["submitted"]
    assert state.tasks["expert-0"].task.state == "submitted"
    known = state.submissions[lease.lease_id]
    assert (known.signer, known.seen_at, known.envelope) == (
        PEOPLE[0].public_key,
        START + 1,
        first.envelope.data.decode(),
    )
    again = changed(submission(lease, 0, START + 2), commit="f" * 40)
    assert step(state, START + 2, again).state == state


def test_late_work_does_not_move_the_task_of_another_lease():
    state, late = leased()
    now = START + 300
    state = step(state, now, want(1, now)).state
    after = step(state, now + 1, submission(late, 0, now + 1)).state
    assert after.tasks["expert-0"].task.state == "leased"


def test_a_verdict_counts_once_and_for_the_volunteers_record():
    for accepted, counts in ((True, (1, 0)), (False, (0, 1))):
        state, lease = submitted()
        state = step(state, START + 2, verdict(lease, accepted)).state
        assert (volunteer_of(state).num_accepted, volunteer_of(state).num_rejected) == counts
        again = step(state, START + 3, verdict(lease, accepted)).state
        assert (volunteer_of(again).num_accepted, volunteer_of(again).num_rejected) == counts
    assert step(run_of(1), START, verdict(lease, True)).state == run_of(1)


def test_a_rejection_of_late_work_leaves_the_lease_of_another_alone():
    state, late = leased()
    now = START + 300
    state = step(state, now, want(1, now)).state
    state = step(state, now + 1, submission(late, 0, now + 1)).state
    state = step(state, now + 2, verdict(late, False)).state
    assert state.tasks["expert-0"].task.state == "leased"
    assert lease_of(state).attempt == 2


def test_retries_of_a_verification_double_up_to_ten_minutes_and_then_reject():
    state, lease = submitted()
    now, waits = START + 1, []
    for number in range(1, POLICY.max_tries):
        decision = step(state, now, VerificationFailed(lease.lease_id, "Hub down"))
        assert kinds(decision) == ["retry"]
        state = decision.state
        known = state.submissions[lease.lease_id]
        assert known.num_tries == number
        waits.append(known.retry_at - now)
        assert step(state, known.retry_at - 0.1).actions == ()
        assert step(state, known.retry_at).actions == (Verify(lease.lease_id),)
        now = known.retry_at
    assert waits == [10, 20, 40, 80, 160, 320] + [600] * 13
    reason = "Hub down " * 60
    decision = step(state, now, VerificationFailed(lease.lease_id, reason))
    refused = decision.state.submissions[lease.lease_id]
    assert (refused.phase, refused.verdict.accepted, len(refused.verdict.reason)) == ("rejected", False, 300)
    assert refused.verdict.reason.startswith(f"Could not be verified after {POLICY.max_tries} tries: Hub down")
    assert Close(lease.lease_id) in decision.actions


def test_trouble_of_the_organisers_rejects_no_work_however_long_it_lasts():
    state, lease = submitted()
    now = START + 1
    for trouble_s in (2, 512, *[600] * POLICY.max_tries, 9000):
        decision = step(state, now, VerificationFailed(lease.lease_id, "Hub down", trouble_s))
        assert kinds(decision) == ["retry" if trouble_s < 600 else "problem"]
        state = decision.state
        known = state.submissions[lease.lease_id]
        assert (known.phase, known.num_tries, known.retry_at) == ("seen", 0, now + min(trouble_s, 600))
        now = known.retry_at
    assert step(state, now).actions == (Verify(lease.lease_id),)


def test_a_failed_verification_of_what_is_judged_already_changes_nothing():
    state, lease = submitted()
    state = step(state, START + 2, verdict(lease, True)).state
    assert step(state, START + 3, VerificationFailed(lease.lease_id, "late")).state == state
    assert step(state, START + 3, VerificationFailed("f" * 32, "unknown")).state == state


def test_a_registration_ends_the_submission_and_the_lease_of_another():
    state, late = leased()
    now = START + 300
    state = step(state, now, want(1, now)).state
    other = lease_of(state)
    state = step(state, now + 1, submission(late, 0, now + 1)).state
    state = step(state, now + 2, verdict(late, True)).state
    decision = step(state, now + 3, registration(late))
    assert kinds(decision) == ["registered"]
    assert decision.state.submissions[late.lease_id].phase == "registered"
    ended = decision.state.leases[other.lease_id].lease
    assert (ended.state, ended.reason) == ("revoked", "Another volunteer's work was registered.")
    assert step(decision.state, now + 4, registration(late)).state == decision.state


def test_the_lease_of_registered_work_itself_is_not_revoked():
    state, lease = submitted()
    state = step(state, START + 2, verdict(lease, True)).state
    state = step(state, START + 3, registration(lease)).state
    assert state.leases[lease.lease_id].lease.state == "granted"


def test_a_registration_of_nothing_known_changes_nothing():
    state, lease = leased()
    assert step(state, START + 1, registration(lease)).state == state
    assert step(State(), START + 1, registration(lease)).state == State()


def test_only_a_rejected_submission_is_closed():
    state, lease = submitted()
    assert step(state, START + 2, Closed(lease.lease_id)).state == state
    assert step(state, START + 2, Closed("f" * 32)).state == state
    state = step(state, START + 2, verdict(lease, False)).state
    assert step(state, START + 3, Closed(lease.lease_id)).state.submissions[lease.lease_id].phase == "closed"
    repeated = state.submissions[lease.lease_id].model_copy(update={"phase": "repeated"})
    state = replace(state, submissions={lease.lease_id: repeated})
    decision = step(state, START + 3, Closed(lease.lease_id))
    assert (decision.state.submissions[lease.lease_id].phase, decision.actions) == ("closed", ())


@pytest.mark.parametrize(("ok", "phase"), [(True, "done"), (False, "failed")])
def test_the_end_of_router_training_is_noted(ok, phase):
    state = State(router=RouterState(phase="training", from_samples=True))
    decision = step(state, START, RouterTrained(ok, "so it ended"))
    assert (decision.state.router.phase, decision.state.router.note) == (phase, "so it ended")
    assert kinds(decision) == ["router"]


def test_a_request_for_router_training_begins_it_once_and_clears_the_note():
    for before in ("done", "failed", "waiting"):
        state = step(State(router=RouterState(phase=before, note="old")), START, RouterRequested()).state
        assert (state.router.phase, state.router.note, state.router.from_samples) == ("training", "", False)
    running = State(router=RouterState(phase="training", note="n"))
    assert step(running, START, RouterRequested(from_samples=True)).state == running


def test_router_training_waits_for_a_request_where_no_number_is_set():
    policy = POLICY.model_copy(update={"train_router_after": 0})
    assert tick(State(), [], policy, START).state.router.phase == "waiting"


@pytest.mark.parametrize(("least", "phase"), [(0, "waiting"), (1, "training"), (2, "waiting")])
def test_router_training_starts_at_the_number_of_registered_experts_that_is_set(least, phase):
    state, lease = submitted()
    seen = [verdict(lease, True), registration(lease)]
    policy = POLICY.model_copy(update={"train_router_after": least})
    assert tick(state, seen, policy, START + 2).state.router.phase == phase


@pytest.mark.parametrize(("wait_s", "is_tried"), [(600.0, False), (600.1, True)])
def test_a_wait_that_is_longer_than_any_was_set_by_a_wrong_clock_and_does_not_count(wait_s, is_tried):
    state, lease = submitted()
    row = state.submissions[lease.lease_id].model_copy(update={"retry_at": START + wait_s})
    after = step(replace(state, submissions={lease.lease_id: row}), START)
    assert after.actions == ((Verify(lease.lease_id),) if is_tried else ())


def test_one_submission_is_verified_at_a_time_the_oldest_first():
    state = step(run_of(3), START, *(want(who, START) for who in range(3))).state
    leases = [lease_of(state, f"expert-{number}") for number in range(3)]
    owners = [[p.public_key for p in PEOPLE].index(lease.volunteer) for lease in leases]
    for number in (2, 0, 1):
        state = step(state, START + 1 + number, submission(leases[number], owners[number], START + 1 + number)).state
    for lease in leases:
        assert step(state, START + 10).actions == (Verify(lease.lease_id),)
        state = step(state, START + 10, VerificationFailed(lease.lease_id, "later", trouble_s=600)).state


def test_a_rejection_by_the_ladder_is_a_fault_and_accepted_work_clears_it():
    state, lease = submitted()
    key = PEOPLE[0].public_key
    rejected = step(state, START + 2, verdict(lease, False)).state.volunteers[key]
    assert (rejected.num_rejected, rejected.num_faults, rejected.faulted_at) == (1, 1, START + 2)
    with_faults = replace(state, volunteers={key: rejected})
    accepted = step(with_faults, START + 3, verdict(lease, True)).state.volunteers[key]
    assert (accepted.num_accepted, accepted.num_faults, accepted.faulted_at) == (1, 0, 0.0)


def test_work_that_no_rung_refused_is_no_fault_though_it_is_rejected():
    state, lease = submitted()
    failed = VerificationFailed(lease.lease_id, "The Hub does not answer.")
    last = tick(state, [failed], POLICY.model_copy(update={"max_tries": 1}), START + 2).state
    assert last.submissions[lease.lease_id].phase == "rejected"
    assert last.volunteers[PEOPLE[0].public_key].num_faults == 0


def test_the_same_weights_rejected_again_are_named_as_perhaps_honest():
    state, lease = submitted()
    first = step(state, START + 2, verdict(lease, False))
    assert "problem" not in kinds(first)
    again = step(first.state, START + 3, want(1, START + 3)).state
    second = lease_of(again)
    assert second.lease_id != lease.lease_id
    who = [person.public_key for person in PEOPLE].index(second.volunteer)
    last = step(again, START + 4, submission(second, who, START + 4), verdict(second, False))
    assert kinds(last)[:3] == ["submitted", "rejected", "problem"]
    assert "the same weights were rejected before" in last.events[2].text
