"""Rechecks: verified work that gave reason for doubt is trained again as a whole. Pure, like `tick`.

Reasons are late work that differs, of a volunteer with verified work, and a volunteer whose later work was refused by a
replay. Work is trained again once: a recheck costs hours, and a stranger's late record costs nothing. The snapshots
within a leg are gone with its verdict, so a recheck is of the whole leg: from the state where it starts to
the one where it ends, as long as both are kept.
"""

from __future__ import annotations

from paris.coordinator.decisions.last_work import judged_lease
from paris.coordinator.decisions.legs import kept_heads
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.indexes import submissions_of, unsettled
from paris.coordinator.state.model import SubmissionState
from paris.protocol.lanes import expert_of
from paris.protocol.leases import first_step


def ask_recheck(draft: Draft, known: SubmissionState, why: str, policy: Policy) -> None:
    """Queue verified work for its recheck, unless it had one.

    Where that is not possible any more, it is named for the organiser.

    Args:
        draft: The next state.
        known: Work of any phase; what is not verified needs no recheck.
        why: In words, for the log.
        policy: Says whether the run trains work again at all.
    """
    s = known.submission
    if known.phase not in ("stored", "registered") or known.recheck or known.was_rechecked:
        return
    if policy.replay_rate is None or s.start_step is None or not _is_kept(draft, known):
        _name_doubt(draft, known, why)
        return
    update = {"recheck": True, "is_replayed_here": False, "num_tries": 0, "retry_at": 0.0}
    draft.put_submission(known.model_copy(update=update))
    draft.add_event(EventKind.AUDIT, f"{_stretch_of(known)} are audited again: {why}.")


def order_recheck(draft: Draft, task_id: str, reason: str, policy: Policy) -> None:
    """Queue an expert's last verified leg for another training, as the organiser wants, even if it had one.

    Args:
        draft: The next state.
        task_id: The expert's own task; one without verified work changes nothing.
        reason: The organiser's, for the log; may be empty.
        policy: Says whether the run trains work again at all.
    """
    task = draft.tasks.get(task_id)
    known = draft.submissions.get((judged_lease(task) if task is not None else None) or "")
    if known is not None:
        why = f"the organiser asked for it{f' ({reason})' if reason else ''}"
        ask_recheck(draft, known.model_copy(update={"was_rechecked": False}), why, policy)


def give_up_recheck(draft: Draft, lease_id: str, why: str) -> None:
    """End a recheck that can never have a result, and name the work for the organiser; its states are freed.

    Args:
        draft: The next state.
        lease_id: Of the work; that of work without a recheck changes nothing.
        why: In words, for the log.
    """
    known = draft.submissions.get(lease_id)
    if known is not None and known.recheck:
        draft.put_submission(known.model_copy(update={"recheck": False, "audit": None}))
        _name_doubt(draft, known, why.rstrip("."))


def recheck_earlier_legs(draft: Draft, refused: SubmissionState, policy: Policy) -> None:
    """Queue all verified work of a volunteer whose work was refused by a replay: not all of it was replayed.

    A challenge that was not answered is no replay: nothing was measured, and an honest machine may have been off.
    """
    for known in list(draft.submissions.values()):
        if known.signer == refused.signer and known is not refused:
            ask_recheck(draft, known, f"later work of {known.submission.name} was refused by a replay", policy)


def states_of_rechecks(draft: Draft, task_id: str) -> set[int]:
    """Steps of the states of a task's expert that rechecks start from or end at: they are kept meanwhile."""
    queued = [
        known.submission
        for known in unsettled(draft)
        if known.recheck and expert_of(known.submission.task_id) == expert_of(task_id)
    ]
    return {step for s in queued for step in (s.start_step or 0, s.steps)}


def _name_doubt(draft: Draft, known: SubmissionState, why: str) -> None:
    what = f"{_stretch_of(known)} may be wrong: {why}. They cannot be trained again here"
    draft.add_event(EventKind.PROBLEM, f"{what}; paris-coord roll-back withdraws them.")


def _stretch_of(known: SubmissionState) -> str:
    s = known.submission
    return f"{s.task_id}: {s.name}'s verified steps {s.start_step or 0} to {s.steps}"


def _is_kept(draft: Draft, known: SubmissionState) -> bool:
    held = draft.leases[known.submission.lease_id]
    heads = kept_heads(draft.tasks, submissions_of(draft, known.submission.task_id), known.submission.task_id)
    kept = {head.commitment for head in heads}
    has_start = first_step(held.lease) == 0 or held.start_commitment in kept
    return has_start and (known.phase == "registered" or known.head is not None)
