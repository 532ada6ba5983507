"""Rechecks: verified work that gave reason for doubt is trained again, and what comes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_audits import AUDITED, auditing, proven, result, step, taker, vote
from tick_world import LEGS, PEOPLE, START, handed_in, held, leg, leg_verdict, relay, run_of, want, who_holds

from paris.coordinator.decisions.observations import (
    AuditNeeded,
    NotRechecked,
    Recheck,
    Rechecked,
    VerificationFailed,
    Verify,
)
from paris.coordinator.decisions.tick import tick
from paris.coordinator.state.audits import AuditNeed
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.model import State
from paris.coordinator.state.orders import Order, OrderKind
from paris.protocol.work_records import Rung

NOW = START + 1000
REPLAYED = LEGS.model_copy(update={"replay_rate": 0.05})


def replayed_step(state: State, now: float, *seen, policy=REPLAYED):
    return tick(state, seen, policy, now)


def legs_of(state: State) -> list[str]:
    """Lease ids of the handed-in legs, by the step that they end with."""
    ordered = sorted(state.submissions.values(), key=lambda known: known.submission.steps)
    return [known.submission.lease_id for known in ordered]


def refused_by_replay(state: State, policy=REPLAYED) -> tuple[State, list[str]]:
    """The volunteer of the first and third leg hands in a cheat at last; the lease ids that wait for a recheck then."""
    who = who_holds(state)
    state = replayed_step(state, NOW, leg(held(state), who, NOW, by="cheat"), policy=policy).state
    judged = next(s for s in state.submissions.values() if s.phase == "seen")
    rung = Rung(rung="replay", passed=False, figure=0.5, bound=0.02)
    found = leg_verdict(state, state.leases[judged.submission.lease_id].lease, accepted=False)
    found = replace(found, verdict=found.verdict.model_copy(update={"rungs": (rung,)}))
    decision = replayed_step(state, NOW + 1, found, policy=policy)
    return decision.state, [name for name in legs_of(decision.state) if decision.state.submissions[name].recheck]


def rechecks(decision) -> list[str]:
    return [action.lease_id for action in decision.actions if isinstance(action, Recheck)]


def test_the_organiser_has_the_last_verified_leg_trained_again_as_often_as_it_asks():
    state = relay(3)
    last = legs_of(state)[-1]
    order = Order(OrderKind.RECHECK, "expert-0", "a rumour")
    decision = replayed_step(state, NOW, order)
    assert rechecks(decision) == [last]
    assert "are audited again: the organiser asked for it (a rumour)." in decision.events[0].text
    done = replayed_step(decision.state, NOW + 1, Rechecked(last, True, "right")).state
    assert done.submissions[last].was_rechecked
    assert rechecks(replayed_step(done, NOW + 2, order)) == [last]
    assert replayed_step(run_of(1), NOW, order).events == (), "nothing is verified"
    plain = tick(state, [order], LEGS, NOW)
    assert rechecks(plain) == []
    assert plain.events[0].kind is EventKind.PROBLEM, "a run without replay says that it cannot"


def test_the_earlier_legs_of_a_caught_cheat_are_trained_again():
    state = relay(4)
    legs = legs_of(state)
    state, queued = refused_by_replay(state)
    assert queued == [legs[0], legs[2]], "those of the same volunteer, whose states are kept"


def test_one_leg_at_a_time_is_trained_again_the_oldest_first():
    state, queued = refused_by_replay(relay(4))
    assert rechecks(replayed_step(state, NOW + 2)) == queued[:1]
    after = replayed_step(state, NOW + 3, Rechecked(queued[0], True, "ok"))
    assert rechecks(after) == queued[1:2]


def test_no_recheck_begins_while_work_waits_for_its_verdict():
    state, queued = refused_by_replay(relay(4))
    state = replayed_step(state, NOW + 2, want(1, NOW + 2)).state
    lease_id = held(state).lease.lease_id
    state = replayed_step(state, NOW + 3, leg(held(state), who_holds(state), NOW + 3)).state
    decision = replayed_step(state, NOW + 4)
    assert Verify(lease_id) in decision.actions
    assert rechecks(decision) == []
    waits = replayed_step(state, NOW + 5, VerificationFailed(lease_id, "the Hub is down", 300.0))
    assert rechecks(waits) == queued[:1], "work that is tried again later holds up nothing"


def test_a_recheck_that_fails_lets_the_next_one_go_first_and_comes_back():
    state, queued = refused_by_replay(relay(4))
    failed = replayed_step(state, NOW + 2, VerificationFailed(queued[0], "the Hub is down", 300.0))
    assert rechecks(failed) == queued[1:]
    assert rechecks(replayed_step(failed.state, NOW + 303)) == queued[:1]


def test_a_recheck_that_always_breaks_down_is_given_up_and_named():
    state, queued = refused_by_replay(relay(4))
    policy = REPLAYED.model_copy(update={"max_tries": 2})
    state = replayed_step(state, NOW + 2, VerificationFailed(queued[0], "odd"), policy=policy).state
    assert state.submissions[queued[0]].recheck
    decision = replayed_step(state, NOW + 3, VerificationFailed(queued[0], "odd"), policy=policy)
    known = decision.state.submissions[queued[0]]
    assert (known.phase, known.recheck) == ("stored", False)
    assert any("2 tries failed: odd" in event.text for event in decision.events if event.kind is EventKind.PROBLEM)


def test_a_leg_that_cannot_be_trained_again_keeps_its_place_and_is_named():
    state, queued = refused_by_replay(relay(4))
    decision = replayed_step(state, NOW + 2, NotRechecked(queued[0], "chain.json is gone."))
    known = decision.state.submissions[queued[0]]
    assert (known.phase, known.recheck) == ("stored", False)
    assert decision.state.volunteers == state.volunteers, "it says nothing about the volunteer"
    assert rechecks(decision) == queued[1:]
    (told,) = (event.text for event in decision.events if event.kind is EventKind.PROBLEM)
    assert "may be wrong: chain.json is gone. They cannot be trained again here" in told
    assert replayed_step(decision.state, NOW + 3, NotRechecked(queued[0], "x")).events == ()


def test_a_run_that_replays_nothing_names_them_for_the_organiser():
    assert LEGS.replay_rate is None
    _, queued = refused_by_replay(relay(2), policy=LEGS)
    assert queued == []


def test_late_work_that_differs_opens_a_recheck_of_the_verified_leg():
    state = replayed_step(run_of(1), START, want(0, START)).state
    late = held(state)
    state = replayed_step(state, START + 1, want(0, START + 1, "leaving"), want(1, START + 1)).state
    state = proven(handed_in(state, START + 10, leg(held(state), 1, START + 10)), 0)
    verified = legs_of(state)[0]
    decision = replayed_step(state, START + 20, leg(late, 0, START + 20, by="other"))
    assert Recheck(verified) in decision.actions
    assert any("differ" in event.text for event in decision.events if event.kind is EventKind.PROBLEM)
    equal = replayed_step(state, START + 20, leg(late, 0, START + 20))
    assert not [action for action in equal.actions if isinstance(action, Recheck)]


@pytest.mark.parametrize("num_known", [0, 3])
def test_records_of_late_work_buy_at_most_one_recheck_and_none_by_fresh_keys(num_known):
    """They cost nothing: three keys wait until one lease shows nothing, train nothing, and name random digests."""
    state = replayed_step(run_of(1), START, want(0, START)).state
    state = replayed_step(state, START + 51, *(want(who, START + 51) for who in (1, 2, 3))).state
    leases = {lease.lease.volunteer: lease for lease in state.leases.values()}
    honest, *forgers = (leases[PEOPLE[who].public_key] for who in (1, 0, 2, 3))
    state = handed_in(state, START + 60, leg(honest, 1, START + 60))
    state = proven(state, *(0, 2, 3)[:num_known])
    begun = []
    for number, (who, forger) in enumerate(zip((0, 2, 3), forgers, strict=True)):
        now = START + 70 + number
        decision = replayed_step(state, now, leg(forger, who, now, by=f"forged {who}"))
        assert any("differ" in event.text for event in decision.events if event.kind is EventKind.PROBLEM)
        begun += rechecks(decision)
        state = replayed_step(decision.state, now + 0.5, Rechecked(honest.lease.lease_id, True, "ok")).state
    assert begun == [honest.lease.lease_id][:num_known]


def test_work_that_stands_keeps_its_place():
    state, queued = refused_by_replay(relay(4))
    decision = replayed_step(state, NOW + 3, Rechecked(queued[0], True, "All rungs passed."))
    known = decision.state.submissions[queued[0]]
    assert (known.phase, known.recheck) == ("stored", False)
    assert [action.lease_id for action in decision.actions if isinstance(action, Recheck)] == queued[1:]


@pytest.mark.parametrize(
    ("setting", "which", "rolls_back"),
    [("unbuilt", -1, True), ("unbuilt", 0, False), ("always", 0, True), ("never", -1, False)],
)
def test_wrong_work_is_rolled_back_where_nobody_else_built_on_it_or_named(setting, which, rolls_back):
    policy = REPLAYED.model_copy(update={"roll_back_wrong": setting})
    state, queued = refused_by_replay(relay(3), policy=policy)
    assert len(queued) == 1 or which in (0, -1)
    lease_id = {0: legs_of(state)[0], -1: legs_of(state)[-2]}[which]
    submissions = {**state.submissions, lease_id: state.submissions[lease_id].model_copy(update={"recheck": True})}
    state = replace(state, submissions=submissions)
    start = state.submissions[lease_id].submission.start_step
    decision = replayed_step(state, NOW + 3, Rechecked(lease_id, False, "distance 0.7."), policy=policy)
    head = decision.state.tasks["expert-0"].task.head
    assert (decision.state.submissions[lease_id].phase == "withdrawn") is rolls_back
    told = " ".join(event.text for event in decision.events)
    if rolls_back:
        assert (0 if head is None else head.step) == start
        assert "--undo brings them back" in told
    else:
        assert f"paris-coord roll-back RUN expert-0 --to {start}" in told


def test_a_recheck_by_volunteers_waits_for_its_audit_while_the_leg_stays_stored():
    state, queued = refused_by_replay(relay(4), policy=AUDITED)
    state = proven(step(state, NOW + 2, taker(2, NOW + 2, "busy")).state, 2)
    need = AuditNeed(start_step=0, end_step=200, start=None)
    state = step(state, NOW + 3, AuditNeeded(queued[0], need)).state
    assert state.submissions[queued[0]].phase == "stored"
    state = step(state, NOW + 4, taker(2, NOW + 4)).state
    (lease,) = auditing(state)
    assert lease.volunteer == PEOPLE[2].public_key
    decision = step(state, NOW + 4, result(lease, NOW + 4))
    assert Recheck(queued[0]) in decision.actions
    assert not [action for action in decision.actions if action == Verify(queued[0])]
    state = step(decision.state, NOW + 5, Rechecked(queued[0], True, "ok", (vote(lease, True),))).state
    assert state.audits[lease.lease_id].outcome == "right"
