"""What each order of the organiser changes, and that it can be taken back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tick_world import PEOPLE, POLICY, START, beat, lease_of, registration, run_of, step, submission, verdict, want

from paris.coordinator.decisions.invited import let_in_by
from paris.coordinator.decisions.observations import Close, Register, Verify
from paris.coordinator.decisions.tick import Decision, tick
from paris.coordinator.state.model import State
from paris.coordinator.state.orders import WHOLE_RUN, Order, OrderKind
from paris.protocol.run_records import Invite

ADA = PEOPLE[0].public_key


def ordered(state: State, kind: OrderKind, subject: str, now: float = START + 70, reason: str = "copied") -> Decision:
    return step(state, now, Order(kind, subject, reason))


def leased() -> State:
    return step(run_of(1), START, want(0, START)).state


def registered() -> State:
    state = leased()
    lease = lease_of(state)
    return step(state, START + 1, submission(lease, 0, START + 1), verdict(lease, True), registration(lease)).state


def test_a_banned_volunteer_loses_its_lease_and_gets_none_until_the_ban_is_lifted():
    state = leased()
    lost = lease_of(state)
    decision = ordered(state, OrderKind.BAN, ADA)
    assert decision.state.leases[lost.lease_id].lease.state == "revoked"
    assert "banned: copied" in decision.state.leases[lost.lease_id].lease.reason
    assert decision.state.tasks["expert-0"].task.state == "open"
    assert decision.events[0].text == f"v0 ({ADA[:8]}) is banned: copied."
    still = step(decision.state, START + 76, want(0, START + 76)).state
    assert still.tasks["expert-0"].task.state == "open"
    again = step(still, START + 77, Order(OrderKind.UNBAN, ADA), want(0, START + 77)).state
    assert lease_of(again).attempt == 2


def test_work_of_a_banned_volunteer_is_rejected_without_a_verification():
    state = leased()
    lease = lease_of(state)
    waiting = step(state, START + 1, submission(lease, 0, START + 1)).state
    decision = ordered(waiting, OrderKind.BAN, ADA)
    assert decision.actions == (Close(lease.lease_id),)
    judged = decision.state.submissions[lease.lease_id].verdict
    assert (judged.accepted, judged.reason) == (False, "The volunteer is banned: copied")
    banned_first = ordered(state, OrderKind.BAN, ADA).state
    late = step(banned_first, START + 76, submission(lease, 0, START + 76))
    assert late.actions == (Close(lease.lease_id),)


def test_a_ban_leaves_registered_experts_and_other_volunteers_alone():
    state = ordered(registered(), OrderKind.BAN, ADA).state
    assert state.tasks["expert-0"].task.state == "registered"
    other = step(State(**{**vars(state), "tasks": run_of(1).tasks}), START + 76, want(1, START + 76)).state
    assert lease_of(other).volunteer == PEOPLE[1].public_key


def test_a_run_for_allowed_volunteers_gives_tasks_to_them_alone():
    policy = POLICY.model_copy(update={"allowed_only": True})
    closed = tick(run_of(1), [want(0, START), want(1, START)], policy, START).state
    assert closed.tasks["expert-0"].task.state == "open"
    opened = tick(closed, [Order(OrderKind.ALLOW, PEOPLE[1].public_key)], policy, START + 1).state
    assert lease_of(opened).volunteer == PEOPLE[1].public_key
    taken = tick(closed, [Order(OrderKind.ALLOW, ADA), Order(OrderKind.DISALLOW, ADA)], policy, START + 1).state
    assert taken.tasks["expert-0"].task.state == "open"


@pytest.mark.parametrize("with_work", [False, True])
def test_a_revoked_lease_opens_its_task_and_work_that_came_before_is_still_verified(with_work):
    state = leased()
    lease = lease_of(state)
    seen = [submission(lease, 0, START + 1)] if with_work else [beat(lease, 0, START + 1, 10)]
    decision = ordered(step(state, START + 1, *seen).state, OrderKind.REVOKE, "expert-0", reason="")
    assert decision.state.leases[lease.lease_id].lease.reason == "the organiser took it back."
    assert decision.state.tasks["expert-0"].task.state == "open"
    assert decision.state.volunteers[ADA].num_revoked == 0
    assert (Verify(lease.lease_id) in decision.actions) == with_work


def test_a_withdrawn_expert_opens_its_task_and_comes_back_unless_another_took_its_place():
    state = registered()
    lease_id = state.tasks["expert-0"].registration.lease_id
    withdrawn = ordered(state, OrderKind.UNREGISTER, "expert-0")
    task = withdrawn.state.tasks["expert-0"]
    assert (task.task.state, task.registration) == ("open", None)
    assert "withdrawn: copied; the task is open again" in withdrawn.events[0].text
    back = ordered(withdrawn.state, OrderKind.REREGISTER, "expert-0", START + 76)
    assert back.actions == (Register(lease_id),)
    second = step(withdrawn.state, START + 76, want(1, START + 76)).state
    lease = lease_of(second)
    work = (submission(lease, 1, START + 77), verdict(lease, True), registration(lease))
    replaced = step(second, START + 77, *work).state
    assert replaced.tasks["expert-0"].registration.lease_id == lease.lease_id
    assert ordered(replaced, OrderKind.REREGISTER, "expert-0", START + 88).state == replaced


@pytest.mark.parametrize("kind", OrderKind)
def test_an_order_that_was_carried_out_or_names_nothing_changes_nothing(kind):
    state = registered()
    for subject in ("expert-7", "0" * 64):
        if kind not in (OrderKind.BAN, OrderKind.ALLOW):
            assert ordered(state, kind, subject).state == state
    of_volunteers = (OrderKind.BAN, OrderKind.UNBAN, OrderKind.ALLOW, OrderKind.DISALLOW)
    subject = ADA if kind in of_volunteers else "5e" * 16 if "invite" in kind else "expert-0"
    once = ordered(state, kind, subject).state
    twice = ordered(once, kind, subject, START + 89)
    assert twice.state == once
    said = {
        OrderKind.ROLL_BACK: ["expert-0: not rolled back to step 0: no leg after it is verified any more."],
        OrderKind.RECHECK: [
            "expert-0: v0's verified steps 0 to 1000 may be wrong: the organiser asked for it (copied). They cannot be "
            "trained again here; paris-coord roll-back withdraws them."
        ],
    }
    assert [event.text for event in twice.events] == said.get(kind, [])


def test_an_invite_lets_in_as_many_as_it_has_uses_and_is_taken_back_like_an_allow():
    policy = POLICY.model_copy(update={"allowed_only": True})
    invite = Invite(invite_id="12" * 16, uses=1, key="34" * 32)
    observations = [replace(want(who, START), invite=invite) for who in (0, 1)]
    state = tick(run_of(2), observations, policy, START).state
    assert [lease.lease.volunteer for lease in state.leases.values()] == [PEOPLE[0].public_key]
    texts = [event.text for event in tick(run_of(2), observations, policy, START).events]
    assert any(f"{PEOPLE[0].public_key[:8]} is allowed: invite 12121212" in text for text in texts)
    assert any("which has no uses left" in text for text in texts)
    order = Order(OrderKind.DISALLOW, PEOPLE[0].public_key)
    state = tick(state, [order, replace(want(0, START + 1), invite=invite)], policy, START + 1).state
    assert state.standings == {}, "the invite does not undo what the organiser decided later"
    later = [want(0, START + 2), replace(want(0, START + 3), invite=invite)]
    assert tick(state, later, policy, START + 3).state.standings == {}, "nor after a want without it"


def test_an_invite_counts_also_for_who_has_asked_before():
    policy = POLICY.model_copy(update={"allowed_only": True})
    invite = Invite(invite_id="12" * 16, uses=1, key="34" * 32)
    state = tick(run_of(1), [want(0, START)], policy, START).state
    assert not state.leases
    state = tick(state, [replace(want(0, START + 1), invite=invite)], policy, START + 1).state
    assert [lease.lease.volunteer for lease in state.leases.values()] == [PEOPLE[0].public_key]


def test_a_withdrawn_invite_lets_in_nobody_else_until_it_is_restored():
    policy = POLICY.model_copy(update={"allowed_only": True})
    invite = Invite(invite_id="12" * 16, uses=3, key="34" * 32)
    state = tick(run_of(2), [replace(want(0, START), invite=invite)], policy, START).state
    order = Order(OrderKind.WITHDRAW_INVITE, invite.invite_id, "the link leaked")
    decision = tick(state, [order, replace(want(1, START + 1), invite=invite)], policy, START + 1)
    assert [event.text for event in decision.events if event.kind == "order"] == [
        "Invite 12121212 is withdrawn: the link leaked."
    ]
    assert list(decision.state.standings) == [PEOPLE[0].public_key], "who came by it before stays"
    back = Order(OrderKind.RESTORE_INVITE, invite.invite_id)
    later = replace(want(1, START + 2), invite=invite)
    decision = tick(decision.state, [back, later], policy, START + 2)
    assert set(decision.state.standings) == {PEOPLE[0].public_key, PEOPLE[1].public_key}
    assert "Invite 12121212 is no longer withdrawn." in [event.text for event in decision.events]
    assert let_in_by(decision.state.standings.values(), invite.invite_id) == list(decision.state.standings)


def test_a_paused_run_grants_no_lease_and_goes_on_with_those_it_has():
    state = step(run_of(2), START, want(0, START)).state
    paused = step(state, START + 1, Order(OrderKind.PAUSE, WHOLE_RUN, "new bounds"), want(1, START + 1))
    assert "The run is paused: new bounds." in [event.text for event in paused.events]
    assert paused.state.tasks["expert-1"].task.state == "open"
    lease = lease_of(paused.state)
    done = step(paused.state, START + 2, submission(lease, 0, START + 2), verdict(lease, True), registration(lease))
    assert done.state.tasks["expert-0"].task.state == "registered"
    again = step(done.state, START + 3, Order(OrderKind.UNPAUSE, WHOLE_RUN), want(1, START + 3))
    assert again.state.tasks["expert-1"].task.state == "leased"
    assert "The run is no longer paused." in [event.text for event in again.events]
    assert step(again.state, START + 4, Order(OrderKind.UNPAUSE, WHOLE_RUN)).events == (), "done once"
