"""What follows from the legs of a run, rule by rule, on submissions as the state keeps them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tick_world import (
    LEGS,
    PEOPLE,
    START,
    held,
    leg,
    leg_step,
    registration,
    relay,
    run_of,
    sealed,
    stored,
    submission,
    want,
)

from paris.coordinator.decisions.clock_moves import moved, without_future
from paris.coordinator.decisions.legs import (
    compared_with,
    end_of,
    forgotten_legs,
    is_same_work,
    kept_steps,
    verified_legs,
)
from paris.coordinator.decisions.observations import SubmissionReceived
from paris.coordinator.decisions.relay import apply_leg_stored
from paris.coordinator.decisions.rolling import accepted_legs, continues, last_withdrawn, name_judged_by
from paris.coordinator.state.credits import credits_of, seconds_of
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.model import LeaseState, State, SubmissionState
from paris.coordinator.state.orders import Order, OrderKind
from paris.protocol.run_records import SubmittedFile
from paris.protocol.work_records import Lease, Verdict

ADA, BEN = PEOPLE[0].public_key, PEOPLE[1].public_key
PHASES = ("seen", "challenged", "accepted", "rejected", "repeated", "stored", "registered", "closed", "withdrawn")


def lease(number: int = 1, task_id: str = "expert-0", who: int = 0) -> Lease:
    return Lease(
        lease_id=f"{number:032x}", task_id=task_id, attempt=number, volunteer=PEOPLE[who].public_key,
        granted_at=START, expires_at=START + 600,
    )  # fmt: skip


def work(
    number: int,
    steps: int,
    phase: str = "stored",
    *,
    task_id: str = "expert-0",
    who: int = 0,
    is_leg: bool = True,
    **row,
) -> SubmissionState:
    """A submission to that step, under the lease of that number."""
    payload = submission(lease(number, task_id, who), who, START).envelope.payload
    facts = {"steps": steps, "start_step": steps - 100 if is_leg else None, "commitment": f"{steps:064x}"}
    fields = {"signer": PEOPLE[who].public_key, "envelope": "", "seen_at": START + number, "phase": phase}
    return SubmissionState(submission=payload.model_copy(update=facts), **{**fields, **row})


def with_head(known: SubmissionState) -> SubmissionState:
    return known.model_copy(update={"head": stored(known).head})


def judged(known: SubmissionState, accepted: bool = True, **credit) -> SubmissionState:
    s = known.submission
    verdict = Verdict(
        lease_id=s.lease_id, task_id=s.task_id, attempt=s.attempt, volunteer=known.signer, accepted=accepted,
        reason="because", rungs=(), **credit,
    )  # fmt: skip
    return known.model_copy(update={"verdict": verdict})


def state_of(*works: SubmissionState, leases: bool = True) -> State:
    held = [lease(w.submission.attempt, w.submission.task_id, 0 if w.signer == ADA else 1) for w in works]
    return State(
        tasks=run_of(2).tasks,
        leases={one.lease_id: LeaseState(lease=one) for one in held} if leases else {},
        submissions={w.submission.lease_id: w for w in works},
    )


def test_verified_legs_are_the_stored_and_registered_ones_of_the_task_in_the_order_of_their_ends():
    every = [work(number, 1000 - 100 * number, phase) for number, phase in enumerate(PHASES, start=1)]
    others = [work(11, 50, task_id="expert-1"), work(12, 60, is_leg=False)]
    found = verified_legs([*every, *others], "expert-0")
    assert [known.phase for known in found] == ["registered", "stored"]
    assert [known.submission.steps for known in found] == [300, 400]


def test_a_stored_leg_is_forgotten_when_its_state_is_and_an_accepted_one_waits():
    kept, lost, last = with_head(work(1, 100)), work(2, 200), work(3, 300, "registered")
    assert forgotten_legs([kept, lost, last]) == [lost]
    every = [work(number, 100, phase) for number, phase in enumerate(PHASES, start=1)]
    others = [work(11, 50, "accepted", task_id="expert-1"), work(12, 60, "accepted", is_leg=False)]
    assert [known.phase for known in accepted_legs([*every, *others], "expert-0")] == ["accepted"]


@pytest.mark.parametrize(
    ("steps", "expected"), [(100, [100, 900]), (420, [400, 900]), (900, [900]), (880, [900]), (1000, [900])]
)
def test_a_leg_is_compared_with_the_newest_and_the_nearest_leg_of_each_other_task(steps, expected):
    legs = [work(end, end, "stored" if end < 900 else "accepted", task_id="expert-1") for end in (100, 400, 900)]
    hidden = [work(1, steps, phase, task_id="expert-1") for phase in ("seen", "rejected", "repeated", "closed")]
    hidden += [work(2, steps, "withdrawn", task_id="expert-1"), work(3, steps, "stored")]
    mine = work(5, steps, "accepted")
    assert [known.submission.steps for known in compared_with([*legs, *hidden, mine], mine)] == expected


@pytest.mark.parametrize("phase", PHASES)
def test_whole_experts_are_compared_with_each_other_also_of_one_task_and_after_they_were_withdrawn(phase):
    mine, other = work(1, 1000, "seen", is_leg=False), work(2, 1000, phase, is_leg=False)
    assert (compared_with([mine, other], mine) == [other]) == (
        phase in ("accepted", "stored", "registered", "withdrawn")
    )


def test_the_last_three_states_are_kept_and_one_of_each_tenth_of_the_task():
    assert kept_steps([100], 1000) == {100}
    assert kept_steps(range(10, 1000, 10), 1000) == {100, 200, 300, 400, 500, 600, 700, 800, 900, 970, 980, 990}
    assert kept_steps([50, 60, 70, 80], 1000) == {60, 70, 80}
    assert kept_steps([350, 120, 130, 90, 95], 1000) == {120, 130, 350}


@pytest.mark.parametrize(
    ("speed", "disk_bytes", "end"),
    [
        (0.0, 10**6, 400),
        (2.0, 10**6, 500),
        (9.0, 0, 500),
        (9.0, 59, 500),
        (9.0, 60, 600),
        (9.0, 119, 600),
        (9.0, 10**6, 1000),
        (3.5, 10**6, 600),
    ],
)
def test_a_fast_machine_gets_a_longer_leg_as_far_as_half_of_its_spare_disk_holds_the_snapshots(speed, disk_bytes, end):
    """The head's three files take 30 bytes; a leg is 100 s, or 200 steps without room, or 100 at an unknown speed."""
    task = run_of(1).tasks["expert-0"].at_head(stored(work(1, 300)).head, "a").task
    policy = LEGS.model_copy(update={"leg_s": 100.0, "leg_steps": 200 if speed else 100})
    assert end_of(task, speed, disk_bytes, policy) == end


def test_same_work_has_the_same_start_end_chain_and_files_wherever_they_lie():
    one = work(1, 300)
    file = one.submission.files[0]
    assert is_same_work(one, work(2, 300, "seen", who=1))
    for change in (
        {"start_step": 100},
        {"steps": 301},
        {"commitment": "9" * 64},
        {"files": (file.model_copy(update={"sha256": "9" * 64}),)},
        {"files": (SubmittedFile(path="other.safetensors", sha256=file.sha256, bytes=10),)},
    ):
        assert not is_same_work(one, one.model_copy(update={"submission": one.submission.model_copy(update=change)}))
    moved = {"files": (file.model_copy(update={"path": f"elsewhere/{file.path.rpartition('/')[2]}"}),)}
    assert is_same_work(one, one.model_copy(update={"submission": one.submission.model_copy(update=moved)}))


def test_credits_are_those_of_the_verdicts_and_of_work_without_legs_its_own():
    by_verdict = judged(work(1, 300), credit_steps=100, credit_s=50.0)
    own = judged(work(7, 1000, "registered", task_id="expert-1", who=1, is_leg=False))
    first, second = credits_of(state_of(by_verdict, own))
    assert (first.public_key, first.steps, first.seconds, first.share) == (BEN, 1000, 7.0, 1000 / 1100)
    assert (second.public_key, second.steps, second.seconds, second.share) == (ADA, 100, 50.0, 100 / 1100)
    untimed = judged(work(1, 300), credit_steps=100)
    assert [credit.seconds for credit in credits_of(state_of(untimed))] == [0.0]
    without_leases = credits_of(state_of(by_verdict, own, leases=False))
    assert [credit.seconds for credit in without_leases] == [0.0, 50.0]


def test_refused_waiting_and_withdrawn_work_earns_nothing():
    for known in (
        work(1, 300, "seen"),
        judged(work(1, 300, "rejected"), accepted=False),
        judged(work(1, 300, "withdrawn")),
    ):
        assert credits_of(state_of(known)) == []


def test_repeated_work_is_counted_apart_while_the_leg_that_it_equals_is_part_of_an_expert():
    leg, repeat = judged(work(1, 300), credit_steps=100), judged(work(2, 300, "repeated", who=1), credit_steps=100)
    closed = judged(work(3, 300, "closed", who=1), credit_steps=40)
    found = {credit.public_key: credit for credit in credits_of(state_of(leg, repeat, closed))}
    assert (found[ADA].steps, found[ADA].repeated_steps, found[ADA].share) == (100, 0, 1.0)
    assert (found[BEN].steps, found[BEN].repeated_steps, found[BEN].share) == (0, 140, 0.0)
    alone = work(9, 500, "registered")
    assert credits_of(state_of(alone, repeat)) == []


def test_volunteers_are_listed_by_their_steps_then_by_repeated_ones_then_by_key():
    works = [
        judged(work(number, 300, who=number % 4), credit_steps=steps) for number, steps in ((1, 5), (2, 5), (3, 9))
    ]
    keys = [credit.public_key for credit in credits_of(State(submissions={w.submission.lease_id: w for w in works}))]
    assert keys == [PEOPLE[3].public_key, *sorted(PEOPLE[number].public_key for number in (1, 2))]


def test_a_clock_that_went_back_makes_no_negative_time():
    known, held = work(1, 300, seen_at=START - 5), LeaseState(lease=lease())
    assert seconds_of(known, held) == 0.0


def test_the_last_roll_back_is_undone_and_none_before_a_leg_that_was_verified_since():
    old, last = work(1, 300, "withdrawn", withdrawn_at=5.0), work(2, 200, "withdrawn", withdrawn_at=6.0)
    also = work(3, 100, "withdrawn", withdrawn_at=6.0)
    others = [work(4, 100, "withdrawn", task_id="expert-1", withdrawn_at=9.0)]
    others += [work(5, 1000, "withdrawn", is_leg=False, withdrawn_at=9.0)]
    assert last_withdrawn([old, last, also, *others], "expert-0") == [last, also]
    assert last_withdrawn([last, work(6, 100, stored_at=6.0)], "expert-0") == [last]
    assert last_withdrawn([last, work(6, 100, stored_at=6.5)], "expert-0") == []
    assert last_withdrawn([], "expert-0") == []


def test_withdrawn_work_continues_what_the_task_has_now():
    leg, whole = work(1, 300, "withdrawn"), work(2, 1000, "withdrawn", is_leg=False)
    state = state_of(leg, whole)
    task = state.tasks["expert-0"]
    at_head = task.at_head(stored(work(9, 200)).head, "x")
    assert continues(task, Draft(state), leg)
    assert not continues(at_head, Draft(state), leg)
    assert continues(at_head, Draft(state), whole)
    assert not continues(task, Draft(State(tasks=state.tasks)), leg)


def test_experts_that_were_judged_after_a_withdrawn_one_are_named():
    works = [work(number, 1000, "registered", task_id=f"expert-{number}", is_leg=False) for number in (1, 2, 3)]
    tasks = {
        f"expert-{number}": run_of(4)
        .tasks[f"expert-{number}"]
        .registered(registration(lease(number, f"expert-{number}")).registration)
        for number in (1, 2, 3)
    }
    state = State(tasks=tasks, submissions={w.submission.lease_id: w for w in works})
    for number, named in ((1, "expert-2, expert-3"), (2, "expert-3"), (3, None)):
        draft = Draft(state)
        name_judged_by(draft, state.tasks[f"expert-{number}"])
        texts = [event.text for event in draft.events]
        assert texts == (
            [f"expert-{number}: {named} may have been judged by the withdrawn expert: judge them again."]
            if named
            else []
        )
    draft = Draft(state)
    name_judged_by(draft, run_of(1).tasks["expert-0"])
    assert draft.events == []


def test_a_clock_that_moves_takes_the_times_of_this_service_with_it_and_no_others():
    old, new = work(1, 300), work(2, 400, stored_at=START + 50)
    before, now = state_of(old), state_of(old, new)
    after = moved(now, before, 30.0)
    old_id, new_id = old.submission.lease_id, new.submission.lease_id
    assert after.submissions[old_id] is now.submissions[old_id]
    assert (after.submissions[new_id].seen_at, after.submissions[new_id].stored_at) == (START + 32, START + 80)
    assert after.submissions[new_id].retry_at == 0.0
    assert after.leases[new_id].lease.expires_at == START + 630
    assert moved(now, before, 0.0) is now


@pytest.mark.parametrize("now", [START - 100, START + 2])
def test_no_time_of_an_earlier_service_lies_ahead_and_no_lease_lasts_longer_than_one(now):
    known = work(7, 300, stored_at=now + 0.5, withdrawn_at=now - 0.5)
    state = without_future(state_of(known), now, 500.0)
    (after,), (held,) = state.submissions.values(), state.leases.values()
    assert (after.seen_at, after.stored_at, after.withdrawn_at) == (now, now, now - 0.5)
    assert (held.lease.granted_at, held.lease.expires_at) == (min(START, now), now + 500)
    past = without_future(state_of(known), START + 9999, 500.0)
    assert next(iter(past.leases.values())).lease.expires_at == START + 600


def test_when_a_leg_is_stored_the_states_that_are_no_longer_kept_are_forgotten():
    before = [with_head(work(number, 100 + 10 * number)) for number in (1, 2, 3, 4)]
    last = work(5, 150, "accepted")
    state = state_of(*before, last)
    task = state.tasks["expert-0"].at_head(before[-1].head, before[-1].submission.lease_id)
    draft = Draft(replace(state, tasks={**state.tasks, "expert-0": task}))
    apply_leg_stored(draft, stored(last), LEGS, START + 99)
    kept = {known.submission.steps for known in draft.submissions.values() if known.head is not None}
    assert kept == {110, 130, 140, 150}, "the first of a tenth and the last three"
    now = draft.submissions[last.submission.lease_id]
    assert (now.phase, now.stored_at) == ("stored", START + 99)
    assert (draft.tasks["expert-0"].task.head.step, draft.tasks["expert-0"].head_lease_id) == (
        150,
        now.submission.lease_id,
    )


def test_a_submission_is_kept_without_the_lease_that_it_carried():
    state = leg_step(run_of(1), START, want(0, START)).state
    received = leg(held(state), 0, START + 10)
    payload = received.envelope.payload.model_copy(update={"lease": "sealed"})
    state = leg_step(state, START + 10, SubmissionReceived(sealed(payload, PEOPLE[0], START + 10))).state
    (known,) = state.submissions.values()
    assert known.submission == received.envelope.payload
    assert known.submission.lease is None


def test_a_roll_back_without_a_reason_says_none():
    decision = leg_step(relay(2), START + 430, Order(OrderKind.ROLL_BACK, "expert-0", "", 200))
    (order,) = [event.text for event in decision.events if event.kind == "order"]
    assert order == "expert-0: rolled back to step 200; 1 leg by v1 withdrawn, with their credits."
