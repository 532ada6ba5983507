"""Audits by volunteers: opened for a stretch of waiting work, granted by lot, taken in, ended. Pure, like `tick`.

The work waits meanwhile. Where no audit comes, the organiser's machine trains the stretch again, and also in a young
run, where nobody else has verified work. Audits alone refuse nothing: where most end elsewhere, that machine decides.
"""

from __future__ import annotations

import hashlib

from paris.coordinator.decisions.audit_ends import apply_bait, end_audit
from paris.coordinator.decisions.auditors import drawn_for, may_ever_be_audited, secret_number
from paris.coordinator.decisions.baits import bait_for
from paris.coordinator.decisions.leases import busy_volunteers, may_hold
from paris.coordinator.decisions.observations import AuditNeeded, AuditReceived
from paris.coordinator.decisions.policy import AFTER_START_S, Policy
from paris.coordinator.decisions.sizes import size_of
from paris.coordinator.decisions.trust import with_fault
from paris.coordinator.state.audits import AuditNeed, AuditState, Bait, OpenAudit
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.indexes import open_audits, unsettled
from paris.coordinator.state.model import WAITING, LeaseState, SubmissionState, VolunteerState
from paris.protocol.audit_order import AuditOrder
from paris.protocol.limits import MAX_ATTEMPT
from paris.protocol.run_records import Task
from paris.protocol.work_records import Lease

_MOST_LOST = 3
"""Audits of a leg that may be lost; a state from which nobody can train loses all of them."""


def open_audit(draft: Draft, needed: AuditNeeded, now: float) -> None:
    """Let a submission, or a recheck of verified work, wait for an audit."""
    known, need = draft.submissions.get(needed.lease_id), needed.need
    if known is None or known.audit is not None or not (known.phase == "seen" or known.recheck):
        return
    audit = OpenAudit(start_step=need.start_step, end_step=need.end_step, start=need.start, opened_at=now)
    phase = "auditing" if known.phase == "seen" else known.phase
    draft.put_submission(known.model_copy(update={"phase": phase, "audit": audit}))
    draft.add_event(EventKind.AUDIT, f"{_stretch_of(known, audit)} waits for an auditor.")


def apply_audit(draft: Draft, received: AuditReceived, policy: Policy, now: float) -> None:
    """Take in what an auditor returned."""
    result = received.envelope.payload.model_copy(update={"lease": None})
    audit, held = draft.audits.get(result.lease_id), draft.leases.get(result.lease_id)
    if audit is None or held is None or audit.outcome != "waiting" or audit.volunteer != received.envelope.signer:
        return
    if (held.lease.task_id, held.lease.attempt) != (result.task_id, result.attempt):
        return
    released = held.lease.model_copy(update={"state": "released", "reason": "The audit arrived."})
    draft.put_lease(held.model_copy(update={"lease": released}))
    if audit.bait is not None:
        apply_bait(draft, audit, audit.bait, result.sketch, policy, now)
        return
    known = draft.submissions[audit.leg]
    if known.audit is None:
        draft.put_audit(audit.ended("void"))
        return
    draft.put_audit(audit.model_copy(update={"outcome": "arrived", "result": result}))
    draft.put_submission(_going_on(known))
    draft.add_event(EventKind.AUDIT, f"{_stretch_of(known, audit)} arrived from {audit.name}.")


def end_audits(draft: Draft, policy: Policy, now: float, watching_since: float) -> None:
    """End audits that are given up, late, or not needed any more; work that nobody audits is replayed here.

    An audit that arrived is paid although its work was settled without it: a cheat that is found out stays silent.
    """
    earliest = watching_since + min(policy.audit_s, AFTER_START_S)
    for audit in [audit for audit in open_audits(draft) if audit.outcome == "waiting"]:
        held, volunteer = draft.leases[audit.lease_id], draft.volunteers.get(audit.volunteer)
        if audit.bait is None and draft.submissions[audit.leg].audit is None:
            end_audit(draft, audit, held, "void", "the work is judged already.")
        elif held.heartbeat is not None and held.heartbeat.state == "failed":
            end_audit(draft, audit, held, "lost", "the volunteer gave it up.")
        elif volunteer is not None and volunteer.want.state == "leaving":
            end_audit(draft, audit, held, "lost", "the volunteer is leaving.")
        elif now > max(ends_at := _ends_at(held, policy), earliest):
            waited_s = ends_at - held.lease.granted_at
            end_audit(draft, audit, held, "lost", f"no audit came in {waited_s / 3600:.3g} hours.")
            # Who reports may be slow, or paused by its owner; giving up early is no fault either.
            if volunteer is not None and held.heartbeat_at is None:
                draft.put_volunteer(with_fault(volunteer, policy, now))
    for audit in [audit for audit in open_audits(draft) if audit.outcome == "arrived"]:
        known = draft.submissions[audit.leg]
        if known.phase not in WAITING and not known.recheck:
            draft.put_audit(audit.ended("unused"))
    for known in [known for known in unsettled(draft) if known.audit is not None]:
        _replay_here(draft, known, policy, now)


def grant_audits(draft: Draft, policy: Policy, now: float) -> None:
    """Draw an auditor for each open audit, and give it to the drawn one when that asks for work.

    While the organiser has paused the run, nobody gets one.
    """
    if draft.pause.is_paused:
        return
    waiting = {audit.leg for audit in open_audits(draft) if audit.outcome == "waiting" and audit.bait is None}
    opened = [known for known in unsettled(draft) if known.audit is not None]
    busy = busy_volunteers(draft) if opened else set()
    for known in sorted(opened, key=lambda known: known.seen_at):
        if known.audit is None or known.submission.lease_id in waiting:
            continue
        audit = drawn_for(draft, known, known.audit, policy, now)
        if audit is not known.audit:
            known = known.model_copy(update={"audit": audit})
            draft.put_submission(known)
        drawn = draft.volunteers.get(audit.drawn or "")
        if drawn is None or drawn.public_key in busy or not may_hold(draft, drawn, policy, now):
            continue
        busy.add(drawn.public_key)
        bait = bait_for(draft, known, audit, drawn.public_key, policy)
        if bait is None:
            _grant(draft, known, audit, drawn, policy, now)
        else:
            _grant(draft, bait[0], bait[1], drawn, policy, now)


def wait_longer(draft: Draft, paused_at: float, now: float) -> None:
    """Let the time in which the run was paused not count as waiting for an auditor."""
    for known in unsettled(draft):
        if (audit := known.audit) is None:
            continue
        update = {"opened_at": audit.opened_at + max(0.0, now - max(paused_at, audit.opened_at))}
        if audit.drawn is not None:
            update["drawn_at"] = audit.drawn_at + max(0.0, now - max(paused_at, audit.drawn_at))
        draft.put_submission(known.model_copy(update={"audit": audit.model_copy(update=update)}))


def _grant(
    draft: Draft, known: SubmissionState, need: AuditNeed, drawn: VolunteerState, policy: Policy, now: float
) -> None:
    leg, task_id, bait = known.submission.lease_id, known.submission.task_id, need if isinstance(need, Bait) else None
    lease_id = hashlib.sha256(f"audit {leg} {drawn.public_key} {now!r}".encode()).hexdigest()[:32]
    number = 1 + sum(audit.task_id == task_id for audit in draft.audits.values())
    nonce = _nonce(policy, lease_id) if bait is None else bait.nonce
    lease = Lease(
        lease_id=lease_id,
        task_id=task_id,
        attempt=min(number, MAX_ATTEMPT),
        volunteer=drawn.public_key,
        granted_at=now,
        expires_at=now + _life_s(draft.tasks[task_id].task, need, policy),
        start_step=need.start_step,
        to_step=need.end_step,
        audit=AuditOrder(nonce=nonce, start=need.start),
        size=size_of(draft, known),
    )
    draft.put_lease(LeaseState(lease=lease))
    draft.put_audit(
        AuditState(
            lease_id=lease_id,
            leg=leg,
            task_id=task_id,
            volunteer=drawn.public_key,
            name=drawn.want.name,
            start_step=need.start_step,
            end_step=need.end_step,
            nonce=nonce,
            granted_at=now,
            bait=bait,
        )
    )
    known_answer = "" if bait is None else "; the claim is known to be wrong"
    draft.add_event(EventKind.AUDIT, f"{_stretch_of(known, need)} is leased to {drawn.want.name}{known_answer}.")


def _ends_at(held: LeaseState, policy: Policy) -> float:
    """UTC seconds after which an audit is lost: its lease ends, or its auditor has been silent for too long."""
    heard_at = held.lease.granted_at if held.heartbeat_at is None else held.heartbeat_at
    return min(held.lease.expires_at, heard_at + policy.audit_s)


def _life_s(task: Task, need: AuditNeed, policy: Policy) -> float:
    """Life of an audit's lease: as long as a leg of its steps may take, where that is longer than `policy.audit_s`.

    That of a recheck is a whole leg.
    """
    share = (need.end_step - need.start_step) / task.steps
    return max(policy.audit_s, share * task.deadline_s + task.grace_s)


def _nonce(policy: Policy, lease_id: str) -> str:
    """Secret until the lease is granted: 64 hex digits."""
    parts = (secret_number(policy, f"nonce\n{lease_id}\n{number}") for number in range(4))
    return "".join(f"{part:016x}" for part in parts)


def _replay_here(draft: Draft, known: SubmissionState, policy: Policy, now: float) -> None:
    """Let the organiser's machine replay what was not audited in time, or what all auditors gave up."""
    audit, leg = known.audit, known.submission.lease_id
    of_leg = [other for other in draft.audits.values() if other.leg == leg and other.bait is None]
    if audit is None or any(other.outcome == "waiting" for other in of_leg):
        return
    num_lost = sum(other.outcome == "lost" for other in of_leg)
    has_waited = now - audit.opened_at > policy.audit_wait_s and not draft.pause.is_paused
    is_over = not policy.audits or has_waited or num_lost >= _MOST_LOST
    if not is_over and may_ever_be_audited(draft, known):
        return
    draft.put_submission(_going_on(known).model_copy(update={"is_replayed_here": True}))
    draft.add_event(EventKind.AUDIT, f"{_stretch_of(known, audit)} found no auditor: it is replayed here.")


def _going_on(known: SubmissionState) -> SubmissionState:
    """The work without its audit: verification goes on, or the recheck."""
    phase = "seen" if known.phase == "auditing" else known.phase
    return known.model_copy(update={"phase": phase, "audit": None, "retry_at": 0.0})


def _stretch_of(known: SubmissionState, need: AuditNeed | AuditState) -> str:
    s = known.submission
    return f"{s.task_id}: the audit of {s.name}'s steps {need.start_step} to {need.end_step}"
