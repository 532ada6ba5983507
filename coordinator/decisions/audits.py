"""Audits by volunteers: opened for a stretch of waiting work, granted by lot, taken in, ended. Pure, like `tick`.

The work waits meanwhile. Where no audit comes, the organiser's machine trains the stretch again, and also in a young
run, where nobody else has verified work.
"""

from __future__ import annotations

import hashlib
from collections import Counter

from paris.coordinator.decisions.auditors import (
    after_copied_claim,
    drawn_for,
    may_ever_be_audited,
    secret_number,
)
from paris.coordinator.decisions.baits import bait_for, is_copied
from paris.coordinator.decisions.leases import busy_volunteers, may_hold
from paris.coordinator.decisions.observations import AuditNeeded, AuditReceived
from paris.coordinator.decisions.policy import AFTER_START_S, Policy
from paris.coordinator.decisions.sizes import size_of
from paris.coordinator.decisions.trust import with_fault
from paris.coordinator.state.audits import AuditNeed, AuditOutcome, AuditState, Bait, OpenAudit
from paris.coordinator.state.draft import Draft
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.indexes import open_audits, unsettled
from paris.coordinator.state.model import WAITING, LeaseState, SubmissionState, VolunteerState
from paris.protocol.audit_order import AuditOrder
from paris.protocol.limits import MAX_ATTEMPT
from paris.protocol.run_records import Task
from paris.protocol.work_records import Lease

_VOTES_FOR_A_FAULT = 3
"""Of one stretch: whose vote differs from two others has a fault."""
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
        _apply_bait(draft, audit, audit.bait, is_copied(audit.bait, result.sketch, policy), policy, now)
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
            _end(draft, audit, held, "void", "the work is judged already.")
        elif held.heartbeat is not None and held.heartbeat.state == "failed":
            _end(draft, audit, held, "lost", "the volunteer gave it up.")
        elif volunteer is not None and volunteer.want.state == "leaving":
            _end(draft, audit, held, "lost", "the volunteer is leaving.")
        elif now > max(ends_at := _ends_at(held, policy), earliest):
            waited_s = ends_at - held.lease.granted_at
            _end(draft, audit, held, "lost", f"no audit came in {waited_s / 3600:.3g} hours.")
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


def _apply_bait(draft: Draft, audit: AuditState, bait: Bait, has_copied: bool, policy: Policy, now: float) -> None:
    draft.put_audit(audit.ended("wrong" if has_copied else "right"))
    if not has_copied:
        return
    what = f"{audit.name} ({audit.volunteer[:8]}) returned a claim that was known to be wrong: it audits no more"
    draft.add_event(EventKind.PROBLEM, f"{audit.task_id}: {what}.")
    volunteer = draft.volunteers.get(audit.volunteer)
    if volunteer is not None:
        draft.put_volunteer(after_copied_claim(volunteer, policy, now))
    void_audits(draft, audit.volunteer, "the volunteer returned a claim that was known to be wrong.")


def void_audits(draft: Draft, volunteer: str, reason: str) -> None:
    """Let the audits of a volunteer that is not believed any more count for nothing; others are drawn in its place."""
    for audit in [audit for audit in open_audits(draft) if audit.volunteer == volunteer]:
        if audit.outcome == "waiting":
            _end(draft, audit, draft.leases[audit.lease_id], "void", reason)
        elif audit.outcome == "arrived":
            draft.put_audit(audit.ended("void"))


def count_votes(
    draft: Draft, known: SubmissionState, votes: dict[str, bool], passed: bool, policy: Policy, now: float
) -> None:
    """Settle the audits of judged work; who is contradicted by two others, or by this machine, has a fault.

    One against one shows nothing: the other may be the cheat's friend.

    Args:
        draft: The next state.
        known: The work.
        votes: By lease id of the auditor: whether its end is the claimed one.
        passed: Whether the work passed its replay, by the votes or by this machine's.
        policy: The numbers to decide by.
        now: UTC seconds.
    """
    arrived = {lease_id: draft.audits[lease_id] for lease_id in votes if lease_id in draft.audits}
    num_votes = Counter((audit.start_step, audit.end_step) for audit in arrived.values())
    num_agree = Counter((audit.start_step, audit.end_step) for key, audit in arrived.items() if votes[key])
    for lease_id, audit in arrived.items():
        stretch = (audit.start_step, audit.end_step)
        # Of refused work a stretch that most agreed with stands: another one was refused.
        stands = passed or 2 * num_agree[stretch] > num_votes[stretch]
        if stands and not passed and known.is_replayed_here:
            draft.put_audit(audit.ended("void"))  # this machine does not say which stretch it refused
        elif votes[lease_id] == stands:
            draft.put_audit(audit.ended("right"))
        elif num_votes[stretch] < _VOTES_FOR_A_FAULT and not known.is_replayed_here:
            draft.put_audit(audit.ended("void"))
        else:
            _contradict(draft, audit, policy, now)


def _contradict(draft: Draft, audit: AuditState, policy: Policy, now: float) -> None:
    draft.put_audit(audit.ended("wrong"))
    what = f"the audit of steps {audit.start_step} to {audit.end_step} by {audit.name} is contradicted"
    draft.add_event(EventKind.PROBLEM, f"{audit.task_id}: {what}.")
    volunteer = draft.volunteers.get(audit.volunteer)
    if volunteer is not None:
        draft.put_volunteer(with_fault(volunteer, policy, now))


def votes_stand(draft: Draft, votes: dict[str, bool]) -> bool:
    """Whether no vote was voided while the work was judged; else it is judged again."""
    return all(lease_id in draft.audits and draft.audits[lease_id].outcome == "arrived" for lease_id in votes)


def _end(draft: Draft, audit: AuditState, held: LeaseState, outcome: AuditOutcome, reason: str) -> None:
    draft.put_lease(held.revoked(reason))
    draft.put_audit(audit.model_copy(update={"outcome": outcome}))
    draft.add_event(EventKind.AUDIT, f"{audit.task_id}: the audit by {audit.name} ended: {reason}")


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
