"""Challenges: work waits while its volunteer is asked for snapshots, and is refused if they do not come."""

from __future__ import annotations

from math import prod

import pytest
from tick_world import (
    LEGS,
    PEOPLE,
    START,
    held,
    lease_of,
    leg,
    leg_verdict,
    run_of,
    sealed,
    stored,
    want,
)

from paris.coordinator.decisions.clock_moves import moved, without_future
from paris.coordinator.decisions.observations import AnswerReceived, SnapshotsNeeded, Verify
from paris.coordinator.decisions.tick import tick
from paris.coordinator.decisions.trust import replay_rate
from paris.coordinator.service.publisher import records_to_publish
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.model import State, VolunteerState
from paris.coordinator.state.orders import Order, OrderKind
from paris.coordinator.state.store import Store
from paris.protocol.draws import draw, draw_digest
from paris.protocol.hub_layout import submission_folder
from paris.protocol.run_records import SubmittedFile
from paris.protocol.work_records import Answer, Challenge

REPLAYED = LEGS.model_copy(update={"replay_rate": 0.1, "answer_s": 3600.0})
NAMES = ("weights", "ema", "optimizer")
ASKED_AT = START + 11


def replayed_step(state: State, now: float, *seen, watching_since: float = 0.0):
    return tick(state, seen, REPLAYED, now, watching_since)


def seen_leg() -> State:
    state = replayed_step(run_of(1), START, want(0, START)).state
    return replayed_step(state, START + 10, leg(held(state), 0, START + 10)).state


def challenged() -> State:
    state = seen_leg()
    return replayed_step(state, ASKED_AT, SnapshotsNeeded(lease_of(state).lease_id, (100,))).state


def answer(
    state: State, who: int = 0, steps: tuple[int, ...] = (100,), names: tuple[str, ...] = NAMES, place: str = ""
):
    lease = lease_of(state)
    place = place or submission_folder(lease.task_id, lease.attempt, PEOPLE[0].public_key)
    files = [
        SubmittedFile(path=f"{place}/step-{step:08d}/{name}.safetensors", sha256="1" * 64, bytes=10)
        for step in steps
        for name in names
    ]
    payload = Answer(
        lease_id=lease.lease_id, task_id=lease.task_id, attempt=lease.attempt, commit="a" * 40, files=tuple(files)
    )
    return AnswerReceived(sealed(payload, PEOPLE[who], ASKED_AT + 5))


def known(state: State):
    return state.submissions[lease_of(state).lease_id]


def test_a_challenge_is_published_and_the_work_waits_for_its_answer():
    state = seen_leg()
    needed = SnapshotsNeeded(lease_of(state).lease_id, (100,))
    decision = replayed_step(state, ASKED_AT, needed, needed)
    assert decision.actions == ()
    assert [event.text for event in decision.events] == ["expert-0: v0 was asked for the state at step 100."]
    (published,) = (r for r in records_to_publish(None, [], decision.state, ASKED_AT) if isinstance(r, Challenge))
    assert published == known(decision.state).challenge
    assert (published.steps, published.volunteer) == ((100,), PEOPLE[0].public_key)
    assert published.answer_until == ASKED_AT + 3600
    assert replayed_step(decision.state, ASKED_AT + 1).actions == ()
    two = replayed_step(state, ASKED_AT, SnapshotsNeeded(lease_of(state).lease_id, (100, 200)))
    assert [event.text for event in two.events] == ["expert-0: v0 was asked for the state at steps 100 and 200."]


def test_an_answer_lets_verification_go_on_and_ends_the_challenge():
    state = challenged()
    decision = replayed_step(state, ASKED_AT + 5, answer(state))
    assert decision.actions == (Verify(lease_of(state).lease_id),)
    assert known(decision.state).challenge is None
    assert [a.commit for a in known(decision.state).answers] == ["a" * 40]
    again = replayed_step(decision.state, ASKED_AT + 6, answer(state))
    assert known(again.state) == known(decision.state)


def test_a_second_challenge_keeps_the_answer_to_the_first():
    state = challenged()
    state = replayed_step(state, ASKED_AT + 5, answer(state)).state
    state = replayed_step(state, ASKED_AT + 6, SnapshotsNeeded(lease_of(state).lease_id, (200,)), answer(state)).state
    assert known(state).phase == "challenged"
    state = replayed_step(state, ASKED_AT + 7, answer(state, steps=(200,))).state
    assert known(state).phase == "seen"
    assert len(known(state).answers) == 2


@pytest.mark.parametrize(
    "wrong",
    [{"who": 1}, {"steps": (200,)}, {"names": ("weights", "ema", "other")}, {"place": "nowhere"}],
    ids=["who", "steps", "files", "place"],
)
def test_an_answer_by_another_or_without_what_was_asked_for_changes_nothing(wrong):
    state = challenged()
    assert known(replayed_step(state, ASKED_AT + 5, answer(state, **wrong)).state) == known(state)


def test_a_state_that_was_answered_is_not_asked_for_again_but_the_work_is_refused():
    state = challenged()
    state = replayed_step(state, ASKED_AT + 5, answer(state)).state
    decision = replayed_step(state, ASKED_AT + 6, SnapshotsNeeded(lease_of(state).lease_id, (100,)))
    found = decision.state.submissions[lease_of(state).lease_id]
    assert (found.phase, found.challenge) == ("rejected", None)
    assert found.verdict.reason == "replay/answer: the state at step 100 was asked for, and the answer does not serve."
    assert decision.state.volunteers[PEOPLE[0].public_key].num_faults == 1


def test_without_an_answer_in_time_the_work_is_refused_with_a_fault_and_the_task_opens_again():
    state = challenged()
    assert known(replayed_step(state, ASKED_AT + 3599).state).phase == "challenged"
    decision = replayed_step(state, ASKED_AT + 3601)
    found = decision.state.submissions[lease_of(state).lease_id]
    assert (found.phase, found.challenge) == ("rejected", None)
    assert found.verdict.reason == ("replay/answer: the state at step 100 was asked for and not given in 1 hours.")
    assert [(rung.rung, rung.passed) for rung in found.verdict.rungs] == [("replay", False)]
    assert decision.state.volunteers[PEOPLE[0].public_key].num_faults == 1
    assert decision.state.tasks["expert-0"].task.state == "open"


def test_a_coordinator_that_was_down_looks_for_an_answer_for_ten_minutes_and_gives_no_more_time():
    state = challenged()
    now = ASKED_AT + 9000
    assert known(replayed_step(state, now, watching_since=now - 599).state).phase == "challenged"
    late = replayed_step(state, now, watching_since=now - 601).state
    assert late.submissions[lease_of(state).lease_id].phase == "rejected"


def test_a_challenge_is_kept_on_disk_and_its_time_moves_with_the_clock(tmp_path):
    state = challenged()
    store = Store(tmp_path / "state.sqlite")
    store.save(State(), state, [], ASKED_AT)
    assert store.load().submissions == state.submissions
    store.close()
    assert known(moved(state, State(), 500.0)).challenge.answer_until == ASKED_AT + 3600 + 500
    assert known(without_future(state, ASKED_AT, 600.0)).challenge == known(state).challenge


def test_work_that_the_organiser_has_no_use_for_any_more_is_settled_although_it_is_challenged():
    state = seen_leg()
    lease = lease_of(state)
    state = replayed_step(state, START + 11, leg_verdict(state, lease)).state
    state = replayed_step(state, START + 12, stored(state.submissions[lease.lease_id])).state
    state = replayed_step(state, START + 13, want(0, START + 13)).state
    second = lease_of(state)
    state = replayed_step(state, START + 20, leg(held(state), 0, START + 20)).state
    state = replayed_step(state, START + 21, SnapshotsNeeded(second.lease_id, (300,))).state
    state = replayed_step(state, START + 22, Order(OrderKind.ROLL_BACK, "expert-0", "why", 0)).state
    found = state.submissions[second.lease_id]
    assert (found.phase, found.challenge) == ("rejected", None)
    assert found.verdict.reason == "The state that this leg started from was withdrawn."


def test_the_verdict_reveals_the_secret_and_the_rate_of_the_draw():
    state = seen_leg()
    lease = lease_of(state)
    state = replayed_step(state, START + 11, leg_verdict(state, lease)).state
    verdict = state.submissions[lease.lease_id].verdict
    assert draw_digest(verdict.draw_secret) == lease.draw_sha256
    assert verdict.replay_rate == 1.0


def volunteer(**fields: int) -> VolunteerState:
    payload = want(0, START).envelope.payload
    return VolunteerState(
        public_key="a" * 64, want=payload, seen_at=START, want_sequence=1, waiting_since=START, **fields
    )


def test_the_rate_falls_with_proven_work_to_the_least_and_a_fresh_key_is_always_replayed():
    assert replay_rate(None, REPLAYED) == 1.0
    rates = [replay_rate(volunteer(num_proven=n), REPLAYED) for n in (0, 2, 6, 18, 1000)]
    assert rates == [1.0, 0.5, 0.25, 0.1, 0.1]
    assert replay_rate(volunteer(), LEGS) is None


def test_an_unanswered_challenge_makes_a_volunteer_new_again_and_is_no_doubt_of_its_verified_legs():
    """Nothing was trained again: it may be honest, and have been off."""
    state = seen_leg()
    lease = lease_of(state)
    state = replayed_step(state, START + 11, leg_verdict(state, lease)).state
    state = replayed_step(state, START + 12, stored(state.submissions[lease.lease_id])).state
    assert state.volunteers[PEOPLE[0].public_key].num_proven == 1
    state = replayed_step(state, START + 13, want(0, START + 13)).state
    state = replayed_step(state, START + 20, leg(held(state), 0, START + 20)).state
    assert known(state).replay_rate == 2 / 3
    state = replayed_step(state, START + 21, SnapshotsNeeded(lease_of(state).lease_id, (300,))).state
    decision = replayed_step(state, START + 21 + 3601)
    assert decision.state.volunteers[PEOPLE[0].public_key].num_proven == 0
    assert not [event.text for event in decision.events if event.kind is EventKind.AUDIT]
    assert not any(known.recheck for known in decision.state.submissions.values())


@pytest.mark.parametrize(("num_legs", "chance"), [(1, 0.25), (5, 0.549), (100, 0.968)])
def test_who_poisons_a_quarter_of_its_stretches_is_caught_as_often_as_docs_threat_model_md_says(num_legs, chance):
    """By the draws themselves: of each leg's four stretches the second is wrong; a leg that passes counts as proof."""
    lives, caught = 3000 if num_legs < 10 else 300, 0
    key = PEOPLE[0].public_key
    known = replayed_step(run_of(1), START, want(0, START)).state.volunteers[key]
    proven = [known.model_copy(update={"num_proven": number}) for number in range(num_legs)]
    for life in range(lives):
        for number in range(num_legs):
            rate = replay_rate(proven[number], REPLAYED)
            drawn = draw(f"{life * 1000 + number:064x}", "cd" * 32, (4500, 5000, 5500, 6000), 4000, rate)
            if any(stretch.start == 4500 for stretch in drawn):
                caught += 1
                break
    rates = [max(0.1, 2 / (2 + number)) for number in range(num_legs)]
    assert 1 - prod(1 - rate / 4 for rate in rates) == pytest.approx(chance, abs=1e-3)
    assert caught / lives == pytest.approx(chance, abs=4 * (chance * (1 - chance) / lives) ** 0.5)
