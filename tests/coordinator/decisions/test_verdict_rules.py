"""What a verdict counts and for whom, and which other work makes a difference to it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_leg_rules import judged, state_of
from test_leg_rules import work as handed_in
from tick_world import (
    LEGS,
    PEOPLE,
    POLICY,
    START,
    held,
    lease_of,
    leg,
    leg_step,
    leg_verdict,
    run_of,
    step,
    submission,
    verdict,
    want,
)

from paris.coordinator.decisions.observations import VerificationFailed
from paris.coordinator.decisions.tick import tick
from paris.coordinator.decisions.verdicts import (
    accept_repeat,
    apply_verdict,
    reject_submission,
    verdict_without_rungs,
)
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.model import State
from paris.protocol.work_records import Rung

ADA = PEOPLE[0].public_key


def submitted():
    state = step(run_of(1), START, want(0, START)).state
    lease = lease_of(state)
    return step(state, START + 1, submission(lease, 0, START + 1)).state, lease


def test_a_rejection_that_no_rung_made_is_counted_and_costs_no_proof():
    state, lease = submitted()
    known = state.volunteers[ADA].model_copy(update={"num_proven": 4})
    state = replace(state, volunteers={ADA: known})
    failed = VerificationFailed(lease.lease_id, "The Hub does not answer.")
    after = tick(state, [failed], POLICY.model_copy(update={"max_tries": 1}), START + 2).state.volunteers[ADA]
    assert (after.num_rejected, after.num_faults, after.num_proven) == (1, 0, 4)
    refused = step(state, START + 2, verdict(lease, False)).state.volunteers[ADA]
    assert (refused.num_rejected, refused.num_faults, refused.num_proven) == (1, 1, 0)
    accepted = step(state, START + 2, verdict(lease, True)).state.volunteers[ADA]
    assert (accepted.num_rejected, accepted.num_accepted, accepted.num_proven) == (0, 1, 5)


@pytest.mark.parametrize("accepted", [True, False])
def test_a_verdict_on_work_of_a_forgotten_volunteer_is_kept(accepted):
    state, lease = submitted()
    after = step(replace(state, volunteers={}), START + 2, verdict(lease, accepted)).state
    assert after.submissions[lease.lease_id].verdict.accepted is accepted
    assert after.volunteers == {}


def test_only_a_refusal_by_a_replay_doubts_the_earlier_legs():
    state = leg_step(run_of(1), START, want(0, START)).state
    earlier = handed_in(7, 100).model_copy(update={"head": None})
    state = replace(
        state,
        submissions={earlier.submission.lease_id: earlier},
        leases={**state.leases, earlier.submission.lease_id: held(state)},
    )
    state = leg_step(state, START + 10, leg(held(state), 0, START + 10)).state
    found = leg_verdict(state, lease_of(state), accepted=False)
    for rungs, doubts in ((("envelope", "replay"), 1), (("envelope", "skill"), 0)):
        made = tuple(Rung(rung=name, passed=False, figure=1.0, bound=0.0) for name in rungs)
        refused = replace(found, verdict=found.verdict.model_copy(update={"rungs": made}))
        events = leg_step(state, START + 11, refused).events
        assert sum("may be wrong" in event.text for event in events) == doubts


def problem_of(*others) -> bool:
    """Whether a refusal of work 1 is told to be perhaps wrong, beside this other work."""
    mine = handed_in(1, 1000, "seen", is_leg=False)
    draft = Draft(state_of(mine, *others))
    rung = Rung(rung="skill", passed=False, figure=1.0, bound=0.0)
    refused = verdict_without_rungs(mine, "because", accepted=False).model_copy(update={"rungs": (rung,)})
    apply_verdict(draft, refused, POLICY, START)
    assert draft.submissions[mine.submission.lease_id].verdict == refused
    return any(event.kind is EventKind.PROBLEM for event in draft.events)


def refused(number: int, passed: bool = False, **fields):
    known = judged(handed_in(number, 1000, "closed", is_leg=False, **fields), accepted=False)
    rung = Rung(rung="skill", passed=passed, figure=1.0, bound=0.0)
    return known.model_copy(update={"verdict": known.verdict.model_copy(update={"rungs": (rung,)})})


def test_the_same_files_that_a_rung_refused_for_the_task_before_are_told():
    assert problem_of(refused(2))
    assert problem_of(handed_in(4, 1000, "seen", is_leg=False), refused(3, task_id="expert-1"), refused(2))


@pytest.mark.parametrize("why", ["alone", "another task", "no rung refused", "accepted", "not judged", "other files"])
def test_other_work_is_no_reason_to_doubt_a_refusal(why):
    known = refused(2)
    files = (known.submission.files[0].model_copy(update={"sha256": "9" * 64}),)
    other = {
        "alone": [],
        "another task": [refused(2, task_id="expert-1")],
        "no rung refused": [refused(2, passed=True)],
        "accepted": [judged(handed_in(2, 1000, "withdrawn", is_leg=False))],
        "not judged": [handed_in(2, 1000, "seen", is_leg=False)],
        "other files": [known.model_copy(update={"submission": known.submission.model_copy(update={"files": files})})],
    }
    assert not problem_of(*other[why])


@pytest.mark.parametrize(
    ("phase", "task_id", "accepted"),
    [
        ("accepted", "expert-0", False),
        ("registered", "expert-0", False),
        ("accepted", "expert-1", True),
        ("withdrawn", "expert-0", True),
        ("stored", "expert-0", True),
        ("rejected", "expert-0", True),
    ],
)
def test_of_whole_experts_the_first_accepted_one_of_a_task_stays(phase, task_id, accepted):
    mine, other = handed_in(1, 1000, "seen", is_leg=False), handed_in(2, 1000, phase, is_leg=False, task_id=task_id)
    draft = Draft(state_of(mine, other))
    apply_verdict(draft, verdict_without_rungs(mine, "because", accepted=True), POLICY, START)
    after = draft.submissions[mine.submission.lease_id]
    assert (after.phase, after.verdict.accepted) == (("accepted", True) if accepted else ("rejected", False))


def test_a_rejection_opens_the_task_of_its_lease_unless_other_work_was_accepted():
    mine, other = handed_in(1, 1000, "seen", is_leg=False), handed_in(2, 1000, "accepted", is_leg=False)
    for works, state_then in (((mine,), "open"), ((mine, other), "leased")):
        state = state_of(*works)
        task = state.tasks["expert-0"].leased(state.leases[mine.submission.lease_id].lease)
        draft = Draft(replace(state, tasks={**state.tasks, "expert-0": task}))
        reject_submission(draft, mine, "because", POLICY, START)
        assert draft.tasks["expert-0"].task.state == state_then


def begun(start: int, end: int, seen_s: float = 50.0) -> tuple[Draft, object]:
    """A leg that was handed in, and the draft of its state."""
    mine = handed_in(1, end, "seen", seen_at=START + seen_s)
    state = state_of(mine)
    (row,) = state.leases.values()
    lease = row.lease.model_copy(update={"start_step": start, "draw_sha256": "0" * 64})
    leases = {lease.lease_id: row.model_copy(update={"lease": lease})}
    return Draft(State(tasks=state.tasks, leases=leases, submissions=state.submissions)), mine


def test_a_leg_is_worth_the_steps_by_which_it_moves_the_head_and_its_time():
    draft, mine = begun(200, 500)
    apply_verdict(draft, verdict_without_rungs(mine, "because", accepted=True), LEGS, START)
    found = draft.submissions[mine.submission.lease_id].verdict
    assert (found.credit_steps, found.credit_s) == (300, 50.0)
    assert found.draw_secret is not None


def test_a_repeated_leg_is_worth_its_own_steps():
    draft, mine = begun(200, 500)
    accept_repeat(draft, mine, "equal", LEGS)
    after = draft.submissions[mine.submission.lease_id]
    assert (after.phase, after.verdict.credit_steps, after.verdict.credit_s) == ("repeated", 300, 50.0)
    assert [(str(event.kind), event.text) for event in draft.events] == [("accepted", "expert-0: v0 accepted. equal")]


def test_a_leg_that_was_verified_from_another_head_is_judged_later():
    draft, mine = begun(0, 500)
    apply_verdict(draft, verdict_without_rungs(mine, "because", accepted=True), LEGS, START, head="9" * 64)
    assert draft.submissions[mine.submission.lease_id].verdict is None
    apply_verdict(draft, verdict_without_rungs(mine, "because", accepted=False), LEGS, START, head="9" * 64)
    assert draft.submissions[mine.submission.lease_id].phase == "rejected", "a refusal stays one"
