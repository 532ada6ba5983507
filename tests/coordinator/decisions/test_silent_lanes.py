"""Rounds end by themselves: where a lane does not answer a challenge, and where all lanes' states are lost."""

from __future__ import annotations

import pytest
from test_lane_faults import lease_id_of, means_of, rounds_done
from test_rounds import LANES, OTHER, OWN, both_leased, done, one_round_done, two_lanes
from tick_world import PEOPLE, START, held, leg, leg_verdict, sealed, stored, want, who_holds

from paris.coordinator.decisions.observations import AnswerReceived, LanesLost, SnapshotsNeeded
from paris.coordinator.decisions.tick import Decision, tick
from paris.coordinator.state.credits import credits_of
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.model import State
from paris.coordinator.state.orders import Order, OrderKind
from paris.protocol.hub_layout import snapshot_paths, submission_folder
from paris.protocol.run_records import SubmittedFile
from paris.protocol.work_records import Answer

POLICY = LANES.model_copy(update={"replay_rate": 0.1, "answer_s": 86400.0, "want_life_s": 1e9, "lease_s": 1e6})
FIRST_STORED = START + 12
ASKED = START + 30
PATIENCE_S = FIRST_STORED - START + 100
"""What the first lane took, and the grace."""


def go(state: State, now: float, *seen: object) -> Decision:
    return tick(state, seen, POLICY, now)


def asked() -> State:
    """Lane 0 is verified; lane 1's leg came in time, and its volunteer is asked for a snapshot."""
    state = done(both_leased(), OWN, START + 10).state
    who = who_holds(state, OTHER)
    state = go(
        state, START + 29, leg(held(state, OTHER), who, START + 29, by=OTHER), want(who, START + 29, "busy")
    ).state
    return go(state, ASKED, SnapshotsNeeded(lease_id_of(state, OTHER, 200), (100,))).state


def answer_of(state: State, now: float) -> AnswerReceived:
    known = state.submissions[lease_id_of(state, OTHER, 200)]
    s = known.submission
    place = submission_folder(s.task_id, s.attempt, known.signer)
    files = tuple(SubmittedFile(path=path, sha256="1" * 64, bytes=10) for path in snapshot_paths(place, 100))
    ids = {"lease_id": s.lease_id, "task_id": s.task_id, "attempt": s.attempt}
    (person,) = [one for one in PEOPLE if one.public_key == known.signer]
    return AnswerReceived(sealed(Answer(**ids, commit="1" * 40, files=files), person, now))


def test_a_silent_lane_holds_its_round_no_longer_than_one_that_does_not_train():
    state = go(asked(), ASKED + PATIENCE_S - 1).state
    assert state.tasks[OWN].is_waiting
    decision = go(state, ASKED + PATIENCE_S + 1)
    assert [decision.state.tasks[one].task.head.step for one in (OWN, OTHER)] == [200, 200]
    (told,) = [event.text for event in decision.events if event.kind is EventKind.PROBLEM]
    name = state.submissions[lease_id_of(state, OTHER, 200)].submission.name
    assert told == (
        f"{OTHER}: its round goes on without it: {name} has not given the state at step 100, which it was asked for."
    )


def test_a_silent_lane_is_refused_with_a_fault_all_the_same_and_does_not_hold_the_next_round():
    state = go(asked(), ASKED + PATIENCE_S + 1).state
    silent = state.submissions[lease_id_of(state, OTHER, 200)]
    assert silent.phase == "challenged"
    decision = done_of(state, OWN, ASKED + PATIENCE_S + 12)
    assert decision.state.tasks[OWN].task.head.step == 400, "lane 1 has no lease: the silent work is of another round"
    decision = go(decision.state, ASKED + POLICY.answer_s + 1)
    refused = decision.state.submissions[silent.submission.lease_id]
    assert refused.verdict.reason.startswith("replay/answer: ")
    assert decision.state.volunteers[silent.signer].num_faults == 1


def done_of(state: State, task_id: str, now: float) -> Decision:
    lease_id = held(state, task_id).lease.lease_id
    state = go(state, now, leg(held(state, task_id), who_holds(state, task_id), now, by=task_id)).state
    state = go(state, now + 1, leg_verdict(state, state.leases[lease_id].lease)).state
    return go(state, now + 2, stored(state.submissions[lease_id]))


def test_an_answer_in_time_is_verified_and_one_that_comes_too_late_is_no_fault():
    state = asked()
    in_time = go(state, ASKED + 5, answer_of(state, ASKED + 5)).state
    assert in_time.submissions[lease_id_of(state, OTHER, 200)].phase == "seen"
    assert go(in_time, ASKED + PATIENCE_S + 1).state.tasks[OWN].is_waiting, "it waits for the verdict"
    late = go(state, ASKED + PATIENCE_S + 1).state
    after = go(late, ASKED + PATIENCE_S + 9, answer_of(late, ASKED + PATIENCE_S + 9)).state
    known = after.submissions[lease_id_of(after, OTHER, 200)]
    assert (known.phase, known.verdict.reason) == ("rejected", "Other legs were verified for steps 0 to 200 meanwhile.")
    assert after.volunteers[known.signer].num_faults == 0


@pytest.mark.parametrize("rounds", [0, 1])
def test_where_the_hub_lost_all_states_of_a_round_the_expert_goes_back_to_the_one_before(rounds):
    state, begin = (two_lanes(), START) if not rounds else (rounds_done(1, two_lanes()), START + 100)
    state = go(state, begin, want(0, begin), want(1, begin)).state
    decision = done(done(state, OWN, begin + 10).state, OTHER, begin + 20)
    (action,) = means_of(decision)
    before = decision.state.tasks[OWN].rounds
    decision = go(decision.state, begin + 2000, LanesLost(OWN, action.leases))
    heads = [decision.state.tasks[one].task.head for one in (OWN, OTHER)]
    assert heads == [before[-1].head if rounds else None] * 2
    assert not means_of(decision), "it is not tried again"
    (told,) = [event.text for event in decision.events if "rolled back" in event.text]
    end = 200 * (rounds + 1)
    assert (
        f"rolled back to step {end - 200}: the Hub has none of the states that its lanes ended with at step {end}"
        in told
    )
    assert {credit.steps for credit in credits_of(decision.state)} == ({200} if rounds else set())
    forward = Order(OrderKind.ROLL_FORWARD, OWN, "")
    (again,) = means_of(go(decision.state, begin + 2001, forward))
    assert again == action, "after a restored state the mean is tried"


def test_lost_states_of_a_round_that_is_over_change_nothing():
    state = one_round_done()
    leases = tuple(lease_id_of(state, task_id, 200) for task_id in (OWN, OTHER))
    assert go(state, START + 40, LanesLost(OWN, leases)).state.tasks == go(state, START + 40).state.tasks
