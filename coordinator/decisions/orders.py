"""How each of the organiser's orders changes the state. Pure, like `tick`."""

from __future__ import annotations

from paris.coordinator.decisions.audit_ends import void_audits
from paris.coordinator.decisions.audits import wait_longer
from paris.coordinator.decisions.invited import restore, withdraw
from paris.coordinator.decisions.parallel import live_leases, take_back
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.rechecks import order_recheck
from paris.coordinator.decisions.rolling import continues, name_judged_by, revoke, roll_back, roll_forward
from paris.coordinator.decisions.verdicts import reject_submission
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.indexes import unsettled
from paris.coordinator.state.model import WAITING, PauseState, ReleaseState, Standing, StandingState
from paris.coordinator.state.orders import WHOLE_RUN, Order, OrderKind


def apply_order(draft: Draft, order: Order, policy: Policy, now: float) -> None:
    """Change the draft by one order; one that was carried out before changes nothing."""
    match order.kind:
        case OrderKind.BAN:
            _ban(draft, order, policy, now)
        case OrderKind.ALLOW:
            _stand(draft, order, "allowed", now)
        case OrderKind.UNBAN | OrderKind.DISALLOW:
            _drop_standing(draft, order)
        case OrderKind.REVOKE:
            revoke(draft, order.subject, order.reason)
        case OrderKind.UNREGISTER:
            _unregister(draft, order, now)
        case OrderKind.REREGISTER:
            _reregister(draft, order)
        case OrderKind.ROLL_BACK:
            roll_back(draft, order, policy, now)
        case OrderKind.ROLL_FORWARD:
            roll_forward(draft, order, policy, now)
        case OrderKind.RECHECK:
            order_recheck(draft, order.subject, order.reason, policy)
        case OrderKind.WITHDRAW_INVITE:
            withdraw(draft, order, now)
        case OrderKind.RESTORE_INVITE:
            restore(draft, order)
        case OrderKind.PAUSE | OrderKind.UNPAUSE:
            _pause(draft, order, now)
        case OrderKind.RELEASE:
            _release(draft, order)


def _pause(draft: Draft, order: Order, now: float) -> None:
    """No further lease is granted until the run is unpaused; present leases, and verification, go on."""
    wanted = order.kind is OrderKind.PAUSE
    if order.subject == WHOLE_RUN and draft.pause.is_paused != wanted:
        if draft.pause.is_paused:
            wait_longer(draft, draft.pause.at, now)
        draft.pause = PauseState(is_paused=wanted, reason=order.reason, at=now)
        what = "paused" if wanted else "no longer paused"
        draft.add_event(EventKind.ORDER, f"The run is {what}{_because(order)}.")


def _release(draft: Draft, order: Order) -> None:
    """Make a release, one at a time; what is missing for it, its maker says."""
    if order.subject == WHOLE_RUN and draft.release.phase != "making":
        draft.release = ReleaseState(phase="making")
        draft.add_event(EventKind.ORDER, f"A release is being made{_because(order)}.")


def _ban(draft: Draft, order: Order, policy: Policy, now: float) -> None:
    """No lease from now on: the present one is taken back, waiting work is rejected, and its audits do not count."""
    _stand(draft, order, "banned", now)
    for held in live_leases(draft):
        if held.lease.volunteer == order.subject:
            take_back(draft, held, f"the volunteer is banned: {order.reason}")
    void_audits(draft, order.subject, f"the volunteer is banned: {order.reason}")
    for known in unsettled(draft):
        if known.signer == order.subject and known.phase in WAITING:
            reject_submission(draft, known, f"The volunteer is banned: {order.reason}", policy, now)


def _stand(draft: Draft, order: Order, standing: Standing, now: float) -> None:
    known = draft.standings.get(order.subject)
    if known is not None and (known.standing, known.reason) == (standing, order.reason):
        return
    put = StandingState(public_key=order.subject, standing=standing, reason=order.reason, at=now)
    draft.put_standing(put)
    draft.add_event(EventKind.ORDER, f"{_name(draft, order.subject)} is {standing}{_because(order)}.")


def _drop_standing(draft: Draft, order: Order) -> None:
    wanted = "banned" if order.kind is OrderKind.UNBAN else "allowed"
    known = draft.standings.get(order.subject)
    if known is not None and known.standing == wanted:
        draft.drop_standing(order.subject)
        draft.add_event(EventKind.ORDER, f"{_name(draft, order.subject)} is no longer {wanted}{_because(order)}.")


def _unregister(draft: Draft, order: Order, now: float) -> None:
    """Withdraw a task's expert; the task opens again."""
    task = draft.tasks.get(order.subject)
    if task is None or task.registration is None:
        return
    known = draft.submissions.get(task.registration.lease_id)
    if known is not None:
        draft.put_submission(known.withdrawn(now))
    digest = task.registration.sha256[:12]
    draft.put_task(task.unregistered())
    what = f"expert {digest} by {task.registration.volunteer_name} withdrawn{_because(order)}; the task is open again."
    draft.add_event(EventKind.ORDER, f"{order.subject}: {what}")
    name_judged_by(draft, task)


def _reregister(draft: Draft, order: Order) -> None:
    """Register the expert again that was withdrawn last, unless the task has another by now."""
    task = draft.tasks.get(order.subject)
    withdrawn = [
        known
        for known in draft.submissions.values()
        if known.phase == "withdrawn" and known.submission.task_id == order.subject and not known.stored_at
        if task is not None and continues(task, draft, known)
    ]
    if task is None or task.registration is not None or not withdrawn:
        return
    last = max(withdrawn, key=lambda known: known.submission.attempt)
    revoke(draft, order.subject, "An earlier volunteer's work is registered again.")
    draft.put_submission(last.restored())
    draft.add_event(EventKind.ORDER, f"{order.subject}: the withdrawn expert by {last.submission.name} comes back.")


def _name(draft: Draft, key: str) -> str:
    known = draft.volunteers.get(key)
    return f"Volunteer {key[:8]}" if known is None else f"{known.want.name} ({key[:8]})"


def _because(order: Order) -> str:
    return f": {order.reason}" if order.reason else ""
