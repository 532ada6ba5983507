"""The organiser's hand: `ban`, `revoke`, `unregister`, `roll-back`, `recheck` and so on leave an order for `serve`."""

from __future__ import annotations

import re

from paris.coordinator.decisions.last_work import judged_lease
from paris.coordinator.decisions.legs import expert_legs
from paris.coordinator.decisions.parallel import live_leases
from paris.coordinator.decisions.rolling import accepted_legs, last_withdrawn, steps_to_roll_back_to
from paris.coordinator.errors import ConfigError, NotReadyError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.model import State, TaskState
from paris.coordinator.state.orders import WHOLE_RUN, Order, OrderKind
from paris.coordinator.state.reading import open_store
from paris.coordinator.state.store import Store
from paris.protocol.lanes import expert_of

_KEY = re.compile(r"[0-9a-f]{64}")
_OF_TASKS = (
    OrderKind.REVOKE,
    OrderKind.UNREGISTER,
    OrderKind.REREGISTER,
    OrderKind.RECHECK,
    OrderKind.ROLL_BACK,
    OrderKind.ROLL_FORWARD,
)
_OF_EXPERTS = {OrderKind.ROLL_BACK, OrderKind.ROLL_FORWARD, OrderKind.RECHECK}
"""Of all lanes of an expert at once."""
_INVITE = re.compile(r"[0-9a-f]{32}")
_OF_INVITES = {OrderKind.WITHDRAW_INVITE, OrderKind.RESTORE_INVITE}
_OF_THE_RUN = {OrderKind.PAUSE, OrderKind.UNPAUSE, OrderKind.RELEASE}
_OPPOSITES = {
    OrderKind.PAUSE: OrderKind.UNPAUSE,
    OrderKind.BAN: OrderKind.UNBAN,
    OrderKind.ALLOW: OrderKind.DISALLOW,
    OrderKind.UNREGISTER: OrderKind.REREGISTER,
    OrderKind.ROLL_BACK: OrderKind.ROLL_FORWARD,
    OrderKind.WITHDRAW_INVITE: OrderKind.RESTORE_INVITE,
}
_OPPOSITES |= {undo: kind for kind, undo in _OPPOSITES.items()}
_OF_VOLUNTEERS = {OrderKind.BAN, OrderKind.UNBAN, OrderKind.ALLOW, OrderKind.DISALLOW}


def give_order(run: RunDir, kind: OrderKind, subject: str, reason: str = "", step: int | None = None) -> Order:
    """Check an order and leave it for the service, which carries it out at its next step or its next start.

    Args:
        run: The run directory.
        kind: What to do.
        subject: A volunteer's name, key, or the beginning of its key; a task, as `expert-3` or `3`; or an invite's id
            or its beginning.
        reason: For the event log, the volunteer and the verdict.
        step: Of the verified state to roll back to.

    Raises:
        ConfigError: No or several volunteers or invites are meant, or there is no such task; nothing is ordered.
        NotReadyError: The state allows no such order; nothing is ordered.
    """
    store = open_store(run)
    try:
        return leave_order(store, kind, subject, reason, step)
    finally:
        store.close()


def leave_order(store: Store, kind: OrderKind, subject: str, reason: str = "", step: int | None = None) -> Order:
    """Leave an order in an open state; arguments and errors as of `give_order`."""
    state = store.load()
    found = _invite_of(store, state, subject) if kind in _OF_INVITES else _subject(state, kind, subject)
    why = _why_without_effect(state, kind, found)
    if why and not _takes_back_a_waiting_one(store, kind, found):
        raise NotReadyError(why, "See `paris-coord status RUN`.")
    if kind is OrderKind.ROLL_BACK:
        _require_kept(state, found, step or 0)
    order = Order(kind, found, reason, step)
    store.add_order(order)
    return order


def _takes_back_a_waiting_one(store: Store, kind: OrderKind, subject: str) -> bool:
    """Whether the last order about this that the service has not carried out yet is the opposite one."""
    pair = {kind, _OPPOSITES.get(kind)}
    waiting = [order.kind for order in store.orders().values() if order.subject == subject and order.kind in pair]
    return bool(waiting) and waiting[-1] is not kind


def _subject(state: State, kind: OrderKind, subject: str) -> str:
    if kind in _OF_THE_RUN:
        return WHOLE_RUN
    if kind in _OF_VOLUNTEERS:
        return _key_of(state, subject)
    task_id = _task_of(state, subject).task.task_id
    return expert_of(task_id) if kind in _OF_EXPERTS else task_id


def _key_of(state: State, subject: str) -> str:
    """The public key of a volunteer; a whole key need not be known yet."""
    named = {v.public_key for v in state.volunteers.values() if v.want.name == subject}
    known = state.volunteers.keys() | state.standings.keys()
    found = named or {key for key in known if subject and key.startswith(subject.lower())}
    if len(found) == 1:
        return found.pop()
    if found:
        keys = ", ".join(sorted(key[:12] for key in found))
        raise ConfigError(f"{len(found)} volunteers match {subject!r}: {keys}.", "Give more of the key.")
    if _KEY.fullmatch(subject.lower()):
        return subject.lower()
    raise ConfigError(
        f"No volunteer has the name or key {subject!r}.", "See `paris-coord status RUN --json`, or give a whole key."
    )


def _invite_of(store: Store, state: State, subject: str) -> str:
    """The id of an invite; a whole id need not be known: an earlier version kept no list."""
    made = {invite.invite_id for invite in store.invites()}
    shown = {invite_id for volunteer in state.volunteers.values() for invite_id in volunteer.invites}
    known = made | shown | state.withdrawn_invites.keys()
    found = {invite_id for invite_id in known if subject and invite_id.startswith(subject.lower())}
    if len(found) == 1:
        return found.pop()
    if not found and _INVITE.fullmatch(subject.lower()):
        return subject.lower()
    what = f"{len(found)} invites begin with {subject!r}." if found else f"There is no invite {subject!r}."
    raise ConfigError(what, "See `paris-coord invites RUN`, and give more of the id.")


def _task_of(state: State, subject: str) -> TaskState:
    task = state.tasks.get(f"expert-{subject}" if subject.isdecimal() else subject)
    if task is None:
        known = ", ".join(sorted(state.tasks)[:8]) or "none; open them: paris-coord publish-tasks"
        raise ConfigError(f"There is no task {subject!r}.", f"Tasks: {known}.")
    return task


def orders_about(state: State, task_id: str) -> list[OrderKind]:
    """The orders about a task that would change something now."""
    return [kind for kind in _OF_TASKS if not _why_without_effect(state, kind, _subject(state, kind, task_id))]


def _why_without_effect(state: State, kind: OrderKind, subject: str) -> str:
    """Why an order would change nothing; empty where it changes something."""
    standing = state.standings.get(subject)
    task = state.tasks.get(subject)
    has_lease = any(held.lease.task_id == subject for held in live_leases(state))
    is_registered = task is not None and task.registration is not None
    withdrawn = any(
        s.phase == "withdrawn" and s.submission.task_id == subject and not s.stored_at
        for s in state.submissions.values()
    )
    is_withdrawn = subject in state.withdrawn_invites
    rolled_back = last_withdrawn(list(state.submissions.values()), subject)
    judged = state.submissions.get((judged_lease(task) if task is not None else None) or "")
    is_leg = judged is not None and judged.submission.start_step is not None
    refusals = {
        OrderKind.RECHECK: (
            not is_leg or (judged is not None and judged.recheck),
            f"{subject} has no verified leg, or that is being trained again already.",
        ),
        OrderKind.PAUSE: (state.pause.is_paused, "The run is paused already."),
        OrderKind.UNPAUSE: (not state.pause.is_paused, "The run is not paused."),
        OrderKind.RELEASE: _no_release(state),
        OrderKind.UNBAN: (standing is None or standing.standing != "banned", f"{subject[:12]} is not banned."),
        OrderKind.DISALLOW: (standing is None or standing.standing != "allowed", f"{subject[:12]} is not allowed."),
        OrderKind.WITHDRAW_INVITE: (is_withdrawn, f"Invite {subject[:8]} is withdrawn already."),
        OrderKind.RESTORE_INVITE: (not is_withdrawn, f"Invite {subject[:8]} is not withdrawn."),
        OrderKind.REVOKE: (task is not None and not has_lease, f"{subject} has no lease."),
        OrderKind.UNREGISTER: (task is not None and not is_registered, f"{subject} has no registered expert."),
        OrderKind.ROLL_BACK: (
            not expert_legs(state.submissions.values(), subject),
            f"{subject} has no verified leg.",
        ),
        OrderKind.ROLL_FORWARD: (
            is_registered or not rolled_back or bool(accepted_legs(state.submissions.values(), subject)),
            f"{subject} was not rolled back, or a further leg was verified since.",
        ),
        OrderKind.REREGISTER: (is_registered or not withdrawn, f"{subject} has no withdrawn expert to bring back."),
    }
    refused, why = refusals.get(kind, (False, ""))
    return why if refused else ""


def _no_release(state: State) -> tuple[bool, str]:
    """Whether no release can be made now, and why."""
    missing = [task_id for task_id, task in state.experts.items() if task.registration is None]
    if missing or not state.experts:
        return True, f"Not registered yet: {', '.join(missing[:8]) or 'any task'}{', ...' * (len(missing) > 8)}."
    if state.router.phase == "training":
        return True, "The router is being trained; a release needs it."
    return state.release.phase == "making", "A release is being made already."


def _require_kept(state: State, task_id: str, step: int) -> None:
    """Refuse a roll-back to a step whose state is not kept, or after which nothing was verified."""
    newest = expert_legs(state.submissions.values(), task_id)[-1].submission.steps
    kept = steps_to_roll_back_to(state, task_id)
    if step not in kept:
        steps = ", ".join(map(str, kept))
        raise NotReadyError(
            f"{task_id} has no kept state at step {step} to roll back to from step {newest}.", f"Kept: {steps}."
        )
