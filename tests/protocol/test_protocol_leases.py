import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_samples import HEARTBEAT, LEASE, NOW, TASK

from paris.protocol.leases import (
    START_UP_FRACTION,
    expected_step,
    is_overdue,
    is_renewal_due,
    overtaken_after_s,
    renewed_expiry,
    reported_step,
)

tasks = st.builds(
    lambda steps, deadline_s, grace_s: TASK.model_copy(
        update={"steps": steps, "deadline_s": deadline_s, "grace_s": grace_s}
    ),
    st.integers(1, 10**7),
    st.floats(1, 10**7),
    st.floats(0, 10**5),
)
elapsed = st.floats(-10, 2 * 10**7)


def heartbeat_at(step, **changes):
    return HEARTBEAT.model_copy(update={"step": step} | changes)


def test_the_curve_is_flat_then_linear_then_full():
    # 1000 steps in 7200 s with 720 s to start up: 1000 / 6480 steps a second
    assert expected_step(LEASE, TASK, 0) == expected_step(LEASE, TASK, 720) == 0
    assert expected_step(LEASE, TASK, 720 + 3240) == 500
    assert expected_step(LEASE, TASK, 7199.99) == 999
    assert expected_step(LEASE, TASK, 7200) == expected_step(LEASE, TASK, 10**9) == 1000


def test_a_task_without_time_is_due_at_once():
    assert expected_step(LEASE, TASK.model_copy(update={"deadline_s": 0.0}), 0) == TASK.steps


@given(tasks, elapsed, elapsed)
def test_the_curve_never_falls(task, one, other):
    early, late = sorted((one, other))
    assert 0 <= expected_step(LEASE, task, early) <= expected_step(LEASE, task, late) <= task.steps


@given(tasks, st.floats(0, 1))
def test_who_works_evenly_over_the_whole_time_after_a_start_up_is_never_behind(task, share):
    start_up_s = START_UP_FRACTION * task.deadline_s
    since_grant_s = start_up_s + share * (task.deadline_s - start_up_s)
    # A step more than the share: the last step of a second may not be over yet.
    assert expected_step(LEASE, task, since_grant_s) <= min(task.steps, int(task.steps * share) + 1)


@given(tasks, st.data())
def test_the_moment_at_which_the_curve_passes_a_step_agrees_with_the_curve(task, data):
    step = data.draw(st.integers(0, task.steps - 1))
    passes_at_s = overtaken_after_s(LEASE, task, step)
    slack_s = 1e-6 * task.deadline_s
    assert expected_step(LEASE, task, passes_at_s + slack_s) > step
    assert expected_step(LEASE, task, passes_at_s - slack_s) <= step


@given(tasks, st.floats(0, 10**8))
def test_a_finished_volunteer_is_never_behind(task, since_grant_s):
    assert expected_step(LEASE, task, since_grant_s) <= task.steps


def test_a_lease_is_overdue_only_when_the_curve_is_missed_and_the_grace_is_over():
    missed_at = NOW + 720 + 501 * 6.48
    assert not is_overdue(LEASE, TASK, heartbeat_at(500), missed_at + 599)
    assert is_overdue(LEASE, TASK, heartbeat_at(500), missed_at + 601)
    assert not is_overdue(LEASE, TASK, heartbeat_at(600), missed_at + 601)


def test_silence_since_the_grant_costs_the_lease_only_after_start_up_and_grace():
    assert not is_overdue(LEASE, TASK, None, NOW + 720 + 600)
    assert is_overdue(LEASE, TASK, None, NOW + 720 + 600 + 7)


def test_a_finished_volunteer_has_until_deadline_and_grace_to_submit():
    assert not is_overdue(LEASE, TASK, heartbeat_at(1000), NOW + 7799)
    assert is_overdue(LEASE, TASK, heartbeat_at(1000), NOW + 7801)


def test_steps_of_another_attempt_do_not_count():
    assert reported_step(LEASE, heartbeat_at(900, attempt=2)) == 0
    assert reported_step(LEASE, heartbeat_at(900, lease_id="0" * 32)) == 0
    assert reported_step(LEASE, heartbeat_at(900)) == 900


@pytest.mark.parametrize("state", ["released", "revoked"])
def test_there_is_nothing_to_take_back_from_an_ended_lease(state):
    ended = LEASE.model_copy(update={"state": state})
    assert not is_overdue(ended, TASK, None, NOW + 10**6)
    assert not is_renewal_due(ended, 3600.0, NOW + 10**6)


@given(tasks, st.integers(0, 10**7), st.floats(0, 10**8), st.floats(0, 10**6))
def test_more_steps_or_less_time_never_make_a_lease_overdue(task, step, age_s, less_s):
    step = min(step, task.steps)
    if not is_overdue(LEASE, task, heartbeat_at(step), NOW + age_s):
        assert not is_overdue(LEASE, task, heartbeat_at(min(step + 1, task.steps)), NOW + age_s)
        assert not is_overdue(LEASE, task, heartbeat_at(step), NOW + age_s - less_s)


def test_a_lease_is_renewed_from_a_third_of_its_life_on():
    assert not is_renewal_due(LEASE, 3600.0, NOW + 1199)
    assert is_renewal_due(LEASE, 3600.0, NOW + 1201)


@given(st.floats(NOW - 10**6, NOW + 10**6), st.floats(1, 30 * 86400))
def test_a_renewed_lease_always_expires_later_than_before(now, lease_s):
    assert renewed_expiry(LEASE, lease_s, now) > LEASE.expires_at


def test_a_renewed_lease_holds_for_a_whole_term_from_now():
    assert renewed_expiry(LEASE, 3600.0, NOW + 1200) == NOW + 4800


def test_the_curve_passes_a_step_when_its_time_is_used_up():
    # 720 s to start up, then 6.48 s a step; a finished volunteer has until the deadline.
    assert [overtaken_after_s(LEASE, TASK, step) for step in (0, 499, 999, 1000)] == [726.48, 3960.0, 7200.0, 7200.0]


def test_half_of_the_steps_are_due_after_half_of_the_time_that_follows_the_start_up():
    assert expected_step(LEASE, TASK, 720 + 3240) == 500


def test_the_last_moment_of_the_grace_and_the_first_of_renewal():
    assert not is_overdue(LEASE, TASK, heartbeat_at(1000), NOW + 7800)
    assert is_renewal_due(LEASE, 3600.0, LEASE.expires_at - (1 - 1 / 3) * 3600.0)


LEG = LEASE.model_copy(update={"start_step": 500, "to_step": 750})


def test_a_leg_has_its_share_of_the_deadline():
    # 250 of 1000 steps: 1800 s, of them 180 s to start up, then 6.48 s a step
    assert [expected_step(LEG, TASK, at_s) for at_s in (0, 180, 180 + 810, 1800)] == [500, 500, 625, 750]
    assert [overtaken_after_s(LEG, TASK, step) for step in (500, 624, 750)] == [186.48, 990.0, 1800.0]


def test_silence_on_a_leg_counts_from_its_first_step():
    assert reported_step(LEG, None) == reported_step(LEG, heartbeat_at(0)) == 500
    assert not is_overdue(LEG, TASK, None, NOW + 186 + 600)
    assert is_overdue(LEG, TASK, None, NOW + 187 + 600)
    assert not is_overdue(LEG, TASK, heartbeat_at(749), NOW + 1800 + 600)
