"""The coordinator's decisions: pure, so that hours pass in microseconds and lies cost nothing."""

from __future__ import annotations

from copy import deepcopy

from hypothesis import given, settings
from hypothesis import strategies as st
from tick_world import (
    PEOPLE,
    POLICY,
    START,
    beat,
    lease_of,
    registration,
    run_of,
    step,
    submission,
    verdict,
    want,
)

from paris.coordinator.decisions.observations import (
    Close,
    Closed,
    Observation,
    Register,
    RouterRequested,
    RouterTrained,
    TrainRouter,
    VerificationFailed,
    Verify,
)
from paris.coordinator.decisions.tick import tick
from paris.coordinator.state.model import RouterState, State


def test_an_open_task_goes_to_the_volunteer_that_waits_longest():
    state = step(State(), START, want(1, START)).state
    state = step(state, START + 1, want(0, START + 1)).state
    state = State(**{**vars(state), "tasks": run_of(1).tasks})
    granted = step(state, START + 2).state
    assert lease_of(granted).volunteer == PEOPLE[1].public_key
    assert granted.tasks["expert-0"].task.state == "leased"


def test_a_volunteer_holds_one_lease_and_takes_the_next_task_when_it_is_done():
    state = step(run_of(2), START, want(0, START)).state
    assert [t.task.state for t in state.tasks.values()] == ["leased", "open"]
    lease = lease_of(state)
    state = step(state, START + 5, submission(lease, 0, START + 5)).state
    state = step(state, START + 6, verdict(lease, True)).state
    state = step(state, START + 7, registration(lease), want(0, START + 7)).state
    assert state.tasks["expert-0"].task.state == "registered"
    assert lease_of(state, "expert-1").volunteer == PEOPLE[0].public_key


def test_a_machine_that_is_too_small_gets_no_lease():
    decision = step(run_of(1, min_memory_bytes=2 * 10**9), START, want(0, START, memory_bytes=10**9))
    assert decision.state.tasks["expert-0"].task.state == "open"


def test_a_silent_volunteer_loses_the_lease_only_when_the_curve_is_missed_and_the_grace_is_over():
    state = step(run_of(1), START, want(0, START)).state
    lease = lease_of(state)
    assert lease_of(step(state, START + 190).state) == lease
    gone = step(state, START + 250).state
    assert gone.leases[lease.lease_id].lease.state == "revoked"
    assert gone.tasks["expert-0"].task.state == "open"
    assert gone.tasks["expert-0"].task.attempt == 1


def test_a_coordinator_that_was_down_gives_everyone_a_whole_grace_before_anyone_is_late():
    state = step(run_of(1), START, want(0, START)).state
    back_at = START + 5000
    soon = tick(state, [], POLICY, back_at + 50, watching_since=back_at)
    assert soon.state.tasks["expert-0"].task.state == "leased"
    later = tick(state, [], POLICY, back_at + 101, watching_since=back_at)
    assert later.state.tasks["expert-0"].task.state == "open"


def test_progress_keeps_and_renews_the_lease():
    state = step(run_of(1), START, want(0, START)).state
    for minute in range(1, 15):
        now = START + 60 * minute
        state = step(state, now, beat(lease_of(state), 0, now, step=70 * minute)).state
    assert state.tasks["expert-0"].task.state == "leased"
    assert lease_of(state).expires_at > START + 840
    assert lease_of(state).attempt == 1


def test_a_heartbeat_by_another_key_counts_for_nothing():
    state = step(run_of(1), START, want(0, START)).state
    after = step(state, START + 1, beat(lease_of(state), 1, START + 1, step=999)).state
    assert after.leases == state.leases


def test_a_revoked_task_goes_to_another_with_the_next_attempt():
    state = step(run_of(1), START, want(0, START)).state
    now = START + 300
    state = step(state, now, want(0, now), want(1, now)).state
    assert lease_of(state).volunteer == PEOPLE[1].public_key
    assert lease_of(state).attempt == 2


def test_late_work_for_a_task_without_an_expert_is_still_judged():
    state = step(run_of(1), START, want(0, START)).state
    late = lease_of(state)
    now = START + 300
    state = step(state, now, want(1, now)).state
    decision = step(state, now + 1, submission(late, 0, now + 1))
    assert Verify(late.lease_id) in decision.actions
    state = step(decision.state, now + 2, verdict(late, True)).state
    state = step(state, now + 3, registration(late)).state
    assert state.tasks["expert-0"].registration is not None
    assert [held.lease.state for held in state.leases.values()] == ["revoked", "revoked"]


def test_a_rejected_submission_reopens_the_task_and_is_closed_once():
    state = step(run_of(1), START, want(0, START)).state
    lease = lease_of(state)
    state = step(state, START + 1, submission(lease, 0, START + 1), want(0, START + 1, state="busy")).state
    decision = step(state, START + 2, verdict(lease, False))
    assert decision.state.tasks["expert-0"].task.state == "open"
    assert Close(lease.lease_id) in decision.actions
    closed = step(decision.state, START + 3, Closed(lease.lease_id))
    assert closed.actions == ()


def test_verification_that_cannot_be_done_is_tried_again_later():
    state = step(run_of(1), START, want(0, START)).state
    lease = lease_of(state)
    state = step(state, START + 1, submission(lease, 0, START + 1)).state
    failed = step(state, START + 2, VerificationFailed(lease.lease_id, "Hub down"))
    assert failed.actions == ()
    assert step(failed.state, START + 5).actions == ()
    assert step(failed.state, START + 2 + POLICY.retry_s).actions == (Verify(lease.lease_id),)


def test_the_same_work_is_asked_for_until_it_is_reported_done():
    state = step(run_of(1), START, want(0, START)).state
    lease = lease_of(state)
    decision = step(state, START + 1, submission(lease, 0, START + 1))
    assert step(decision.state, START + 2).actions == decision.actions == (Verify(lease.lease_id),)
    accepted = step(decision.state, START + 3, verdict(lease, True))
    assert accepted.actions == (Register(lease.lease_id),)
    assert step(accepted.state, START + 4, registration(lease)).actions == ()


def test_router_training_starts_when_enough_experts_are_registered():
    state = step(run_of(2), START, want(0, START), want(1, START)).state
    for number in range(2):
        lease = lease_of(state, f"expert-{number}")
        who = [p.public_key for p in PEOPLE].index(lease.volunteer)
        state = step(state, START + 1, submission(lease, who, START + 1)).state
        state = step(state, START + 2, verdict(lease, True)).state
        decision = step(state, START + 3, registration(lease))
        state = decision.state
        assert (TrainRouter() in decision.actions) == (number == 1)
    done = step(state, START + 4, RouterTrained(True, "trained"))
    assert done.actions == ()
    assert done.state.router.phase == "done"


def test_the_router_is_trained_on_what_was_asked_for():
    state = step(run_of(1), START, RouterRequested(from_samples=True)).state
    assert step(state, START + 1).actions == (TrainRouter(from_samples=True),)
    state = step(state, START + 2, RouterTrained(True, "trained")).state
    assert step(state, START + 3, RouterRequested()).actions == (TrainRouter(),)


def test_a_volunteer_that_leaves_gives_its_task_back_at_once():
    state = step(run_of(1), START, want(0, START)).state
    after = step(state, START + 1, want(0, START + 1, state="leaving")).state
    assert after.tasks["expert-0"].task.state == "open"


@st.composite
def stories(draw):
    return draw(
        st.lists(
            st.tuples(
                st.sampled_from(
                    ["want", "busy", "leave", "beat", "submit", "accept", "reject", "register", "fail", "idle"]
                ),
                st.integers(0, 3),
                st.integers(0, 2),
                st.floats(0.1, 400),
            ),
            max_size=60,
        )
    )


def observations_of(state: State, what: str, who: int, number: int, now: float) -> list[Observation]:
    wants = {"want": "waiting", "busy": "busy", "leave": "leaving"}
    if what in wants:
        return [want(who, now, state=wants[what])]
    leases = [held.lease for held in state.leases.values() if held.lease.task_id == f"expert-{number}"]
    if not leases:
        return []
    lease = leases[who % len(leases)]
    owner = [p.public_key for p in PEOPLE].index(lease.volunteer)
    match what:
        case "beat":
            return [beat(lease, owner, now, step=int(now - START) % 1000)]
        case "submit":
            return [submission(lease, owner, now)]
        case "accept" | "reject" if lease.lease_id in state.submissions:
            return [verdict(lease, what == "accept")]
        case "register" if getattr(state.submissions.get(lease.lease_id), "phase", "") == "accepted":
            return [registration(lease)]
        case "fail":
            return [VerificationFailed(lease.lease_id, "Hub down")]
    return []


@settings(max_examples=150, deadline=None)
@given(stories())
def test_whatever_happens_the_books_stay_in_order(story):
    state, now = run_of(3), START
    for what, who, number, passed_s in story:
        now += passed_s
        before, kept = state, deepcopy(state)
        decision = step(state, now, *observations_of(state, what, who, number, now))
        assert before == kept, "a tick leaves its argument as it was"
        state = decision.state
        holders = [state.leases[t.lease_id].lease.volunteer for t in state.tasks.values() if t.lease_id]
        assert len(holders) == len(set(holders)), "one lease a volunteer"
        assert len(decision.actions) == len(set(decision.actions))
        for task_id, after in state.tasks.items():
            assert after.task.attempt >= before.tasks[task_id].task.attempt
            assert before.tasks[task_id].registration in (None, after.registration), "an expert stays registered"
            assert (after.task.state == "registered") == (after.registration is not None)
            assert (after.task.state in ("leased", "submitted")) == (after.lease_id is not None)
        assert step(state, now).state == state, "a tick that sees nothing new changes nothing"


def test_of_two_good_submissions_for_one_task_only_the_first_is_registered():
    state = step(run_of(1), START, want(0, START)).state
    first = lease_of(state)
    now = START + 300
    state = step(state, now, want(1, now)).state
    second = lease_of(state)
    state = step(state, now + 1, submission(first, 0, now + 1), submission(second, 1, now + 1)).state
    state = step(state, now + 2, verdict(second, True)).state
    decision = step(state, now + 3, verdict(first, True))
    assert set(decision.actions) == {Register(second.lease_id), Close(first.lease_id)}
    assert "Other work" in decision.state.submissions[first.lease_id].verdict.reason


def test_a_heartbeat_cannot_speak_of_another_task_or_of_more_steps_than_there_are():
    state = step(run_of(2), START, want(0, START)).state
    lease = lease_of(state)
    lies = [beat(lease.model_copy(update={"task_id": "expert-1"}), 0, START + 1, 5), beat(lease, 0, START + 2, 1001)]
    assert step(state, START + 3, *lies).state.leases == state.leases


def test_finished_work_is_waited_for_but_not_for_ever():
    state = step(run_of(1), START, want(0, START)).state
    for now in (START + 1100, START + 1199):
        state = step(state, now, beat(lease_of(state), 0, now, 1000, state="uploading")).state
        assert state.tasks["expert-0"].task.state == "leased"
    gone = step(state, START + 1201).state
    assert gone.tasks["expert-0"].task.state == "open"


def test_a_second_word_of_the_routers_end_changes_nothing():
    state = State(router=RouterState(phase="done", note="good"))
    assert step(state, START, RouterTrained(False, "late failure")).state == state
