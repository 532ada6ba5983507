"""Which verified work is trained again, and what a recheck counts for its volunteer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_rechecks import NOW, REPLAYED, legs_of, refused_by_replay, replayed_step
from tick_world import LEGS, PEOPLE, relay

from paris.coordinator.decisions.observations import Recheck, Rechecked
from paris.coordinator.decisions.rechecks import ask_recheck, recheck_earlier_legs, states_of_rechecks
from paris.coordinator.state.audits import AuditVote
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.model import State, SubmissionState

PHASES = ("seen", "challenged", "auditing", "accepted", "rejected", "repeated", "closed", "withdrawn")


def leg_of(state: State, number: int = 0) -> SubmissionState:
    return state.submissions[legs_of(state)[number]]


def asked(state: State, known: SubmissionState, policy=REPLAYED) -> tuple[bool, list[str]]:
    """Whether work is queued, and what the log says."""
    draft = Draft(state)
    ask_recheck(draft, known, "a doubt", policy)
    return draft.submissions[known.submission.lease_id].recheck, [event.text for event in draft.events]


def test_a_stored_leg_is_queued_once_to_be_judged_by_volunteers_again():
    state = relay(2)
    known = leg_of(state, 1).model_copy(update={"is_replayed_here": True})
    draft = Draft(state)
    ask_recheck(draft, known, "a doubt", REPLAYED)
    queued = draft.submissions[known.submission.lease_id]
    assert (queued.recheck, queued.is_replayed_here) == (True, False)
    assert [event.text for event in draft.events] == [
        "expert-0: v1's verified steps 200 to 400 are audited again: a doubt."
    ]
    ask_recheck(draft, queued, "another doubt", REPLAYED)
    assert len(draft.events) == 1


@pytest.mark.parametrize("phase", PHASES)
def test_work_that_is_not_verified_needs_no_recheck(phase):
    state = relay(1)
    known = leg_of(state).model_copy(update={"phase": phase})
    assert asked(state, known) == (False, [])


def test_a_registered_last_leg_is_trained_again_although_its_state_is_no_head():
    state = relay(1)
    known = leg_of(state).model_copy(update={"phase": "registered", "head": None})
    assert asked(state, known)[0]
    queued = replace(state, submissions={known.submission.lease_id: known.model_copy(update={"recheck": True})})
    assert Recheck(known.submission.lease_id) in replayed_step(queued, NOW).actions
    stored = known.model_copy(update={"phase": "stored"})
    assert asked(state, stored)[0] is False, "a stored leg's end must be kept"


def test_a_leg_whose_start_is_not_kept_any_more_is_named_for_the_organiser():
    state = relay(3)
    first, second = leg_of(state, 0), leg_of(state, 1)
    lost = first.model_copy(update={"head": None})
    state = replace(state, submissions={**state.submissions, first.submission.lease_id: lost})
    is_queued, texts = asked(state, second)
    assert not is_queued
    assert texts == [
        "expert-0: v1's verified steps 200 to 400 may be wrong: a doubt. They cannot be trained again here; "
        "paris-coord roll-back withdraws them."
    ]
    assert asked(state, leg_of(state, 2))[0], "its start and end are kept"


@pytest.mark.parametrize("why", ["no replays", "no legs"])
def test_what_cannot_be_trained_again_is_named(why):
    state = relay(1)
    known = leg_of(state)
    if why == "no legs":
        known = known.model_copy(update={"submission": known.submission.model_copy(update={"start_step": None})})
    is_queued, (text,) = asked(state, known, LEGS if why == "no replays" else REPLAYED)
    assert not is_queued
    assert "steps 0 to 200 may be wrong" in text


def test_of_a_refused_volunteer_only_its_own_other_work_is_doubted():
    state = relay(3)
    draft = Draft(state)
    recheck_earlier_legs(draft, leg_of(state, 2), REPLAYED)
    assert [draft.submissions[lease_id].recheck for lease_id in legs_of(state)] == [True, False, False]


def test_the_states_of_a_recheck_are_kept_for_its_expert():
    state, queued = refused_by_replay(relay(4))
    assert len(queued) == 2
    assert states_of_rechecks(Draft(state), "expert-0") == {0, 200, 400, 600}
    assert states_of_rechecks(Draft(state), "expert-0.1") == {0, 200, 400, 600}
    assert states_of_rechecks(Draft(state), "expert-1") == set()


def test_a_recheck_of_work_that_is_not_queued_or_unknown_changes_nothing():
    state = relay(2)
    for lease_id in (legs_of(state)[0], "f" * 32):
        decision = replayed_step(state, NOW, Rechecked(lease_id, False, "distance 0.7."))
        assert decision.state.submissions == state.submissions
        assert decision.events == replayed_step(state, NOW).events


def test_a_recheck_by_a_vote_that_is_not_there_any_more_is_done_again():
    state, queued = refused_by_replay(relay(4))
    vote = AuditVote(lease_id="f" * 32, agrees=False, distance=1.0, moments=1.0, note="n")
    after = replayed_step(state, NOW + 3, Rechecked(queued[0], False, "why", (vote,)))
    assert after.state.submissions[queued[0]].recheck
    assert Recheck(queued[0]) in after.actions


def test_wrong_work_is_a_fault_and_a_rejection_and_makes_its_volunteer_new():
    state, queued = refused_by_replay(relay(4))
    key = PEOPLE[0].public_key
    before = state.volunteers[key].model_copy(update={"num_proven": 5})
    state = replace(state, volunteers={**state.volunteers, key: before})
    decision = replayed_step(state, NOW + 3, Rechecked(queued[0], False, "distance 0.7."))
    after = decision.state.volunteers[key]
    assert (after.num_proven, after.num_rejected) == (0, before.num_rejected + 1)
    assert (after.num_faults, after.faulted_at) == (before.num_faults + 1, NOW + 3)
    assert "expert-0: v0's steps 0 to 200 do not stand: distance 0.7." in [event.text for event in decision.events]
    gone = replace(state, volunteers={})
    assert replayed_step(gone, NOW + 3, Rechecked(queued[0], False, "why")).state.volunteers == {}


def test_work_that_stands_is_told_and_counts_nothing():
    state, queued = refused_by_replay(relay(4))
    decision = replayed_step(state, NOW + 3, Rechecked(queued[1], True, "ok"))
    assert "expert-0: v0's steps 400 to 600 were trained again and stand." in [event.text for event in decision.events]
    assert decision.state.volunteers == state.volunteers


@pytest.mark.parametrize(("which", "built"), [(1, ", and the legs of v0 with them"), (3, "")])
def test_where_a_run_rolls_nothing_back_the_command_is_named_with_who_built_on_it(which, built):
    policy = REPLAYED.model_copy(update={"roll_back_wrong": "never"})
    state = relay(4)
    lease_id = legs_of(state)[which]
    row = state.submissions[lease_id].model_copy(update={"recheck": True})
    state = replace(state, submissions={**state.submissions, lease_id: row})
    decision = replayed_step(state, NOW, Rechecked(lease_id, False, "why"), policy=policy)
    told = f"expert-0: paris-coord roll-back RUN expert-0 --to {200 * which} withdraws them{built}."
    assert told in [event.text for event in decision.events]
