"""Volunteers, an organiser and a coordinator's actions, each of which may do anything at any time."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from audits_world import result as audit_result
from tick_world import LEGS, POLICY, chain_digest, run_of, stored, task, verdict
from tick_world import registration as registration_of

from paris.coordinator.decisions.legs import head_commitment
from paris.coordinator.decisions.observations import (
    Action,
    AnswerReceived,
    AuditNeeded,
    AuditReceived,
    AverageLanes,
    Close,
    Closed,
    HeartbeatReceived,
    LanesAveraged,
    LanesLost,
    NotRechecked,
    Observation,
    Recheck,
    Rechecked,
    Register,
    RouterTrained,
    SnapshotsNeeded,
    StoreLeg,
    SubmissionReceived,
    TrainRouter,
    VerificationFailed,
    Verified,
    Verify,
    WantReceived,
)
from paris.coordinator.state.audits import AuditNeed, AuditVote
from paris.coordinator.state.model import LeaseState, State, SubmissionState, TaskState
from paris.protocol.audit_order import AuditStart
from paris.protocol.envelope import Envelope, seal
from paris.protocol.hub_layout import STATE_FILES, snapshot_paths, submission_folder
from paris.protocol.payload import Payload
from paris.protocol.run_records import Head, SubmittedFile
from paris.protocol.signing import Identity
from paris.protocol.work_records import Answer, Heartbeat, Lease, Rung, Submission, Want

EVERY = LEGS.snapshot_every
KEYS = [f"{number:064x}" for number in range(1, 41)]
"""Public keys of those that may take part; `tick` checks no signature."""
_AUDITED = {"replay_rate": 0.3, "audits": True, "audit_s": 900.0, "audit_wait_s": 3600.0}
_ORDINARY = {"want_life_s": 200.0, "fault_life_s": 3600.0, "forget_after_s": 20_000.0, "answer_s": 1800.0}
POLICIES = {
    "whole tasks": POLICY.model_copy(update=_ORDINARY),
    "legs": LEGS.model_copy(update=_ORDINARY),
    "audited legs": LEGS.model_copy(update=_ORDINARY | _AUDITED),
    "lanes": LEGS.model_copy(update=_ORDINARY | {"lanes": 2}),
    "audited lanes": LEGS.model_copy(update=_ORDINARY | _AUDITED | {"lanes": 3, "roll_back_wrong": "always"}),
}
_ONE = Identity.of_seed(bytes([9] * 32))
_TEMPLATE = seal(
    Want(name="v", device="cpu", memory_bytes=1, disk_bytes=1, state="waiting", node_version="0.1.0"),
    _ONE,
    run_id="r",
    sequence=1,
    issued_at=0.0,
    expires_at=60.0,
)


def new_run(policy_name: str, num_experts: int = 2) -> State:
    """A run with the tasks that its policy needs."""
    state, lanes = run_of(num_experts), POLICIES[policy_name].lanes
    tasks = dict(state.tasks)
    for number in range(num_experts):
        for lane in range(1, lanes):
            task_id = f"expert-{number}.{lane}"
            tasks[task_id] = TaskState(task=task(number).task.model_copy(update={"task_id": task_id}))
    return replace(state, tasks=tasks)


def enveloped(payload: Payload, key: str, issued_at: float, sequence: int) -> Envelope:
    """A record as if it were signed: its signature was checked before `tick` sees it."""
    return replace(_TEMPLATE, payload=payload, signer=key, issued_at=issued_at, sequence=sequence)


def want(
    key: str, state: str, issued_at: float, sequence: int, *, audits: bool = True, age_s: float | None = None
) -> WantReceived:
    payload = Want(
        name=f"v{key[-2:]}",
        device="cpu",
        memory_bytes=10**9,
        disk_bytes=10**9,
        state=state,
        node_version="0.1.0",
        audits=audits or None,
    )
    return WantReceived(enveloped(payload, key, issued_at, sequence), age_s)


def beat(held: LeaseState, share: float, state: str, issued_at: float, sequence: int) -> HeartbeatReceived:
    """Progress by a share of the lease's steps; more than 1.0 is a lie."""
    lease, end = held.lease, held.lease.to_step or 1000
    begin = lease.start_step or 0
    payload = Heartbeat(
        lease_id=lease.lease_id,
        task_id=lease.task_id,
        attempt=lease.attempt,
        state=state,
        step=begin + int(share * (end - begin)),
        loss=1.0,
        steps_per_s=2.0,
    )
    return HeartbeatReceived(enveloped(payload, lease.volunteer, issued_at, sequence))


def work(held: LeaseState, share: float, by: str, issued_at: float, sequence: int) -> SubmissionReceived:
    """Handed-in work of the lease's steps, or of a first share of them; equal honest work is equal in every bit."""
    lease = held.lease
    begin, end = lease.start_step or 0, lease.to_step or 1000
    if lease.start_step is not None:
        end = min(end, begin + max(EVERY, int(share * (end - begin)) // EVERY * EVERY))
    reached = chain_digest(held.start_commitment or "", *range(begin, end + 1, EVERY), by=by)
    names = ("expert.safetensors", "weights.safetensors", "optimizer.safetensors", "chain.json")
    payload = Submission(
        lease_id=lease.lease_id,
        task_id=lease.task_id,
        attempt=lease.attempt,
        name=f"v{lease.volunteer[-2:]}",
        repo="a/b",
        pull_request=7,
        commit="0" * 40,
        files=tuple(SubmittedFile(path=name, sha256=chain_digest(reached, by=name), bytes=10) for name in names),
        steps=end,
        start_step=lease.start_step,
        final_loss=0.1,
        commitment=reached,
    )
    return SubmissionReceived(enveloped(payload, lease.volunteer, issued_at, sequence))


def answer(known: SubmissionState, key: str, issued_at: float, sequence: int) -> AnswerReceived:
    """The snapshots that a challenge asks for, by its volunteer or by another key."""
    s = known.submission
    place = submission_folder(s.task_id, s.attempt, known.signer)
    paths = [path for step in known.challenge.steps for path in snapshot_paths(place, step)]
    files = tuple(SubmittedFile(path=path, sha256="1" * 64, bytes=10) for path in paths)
    payload = Answer(lease_id=s.lease_id, task_id=s.task_id, attempt=s.attempt, commit="a" * 40, files=files)
    return AnswerReceived(enveloped(payload, key, issued_at, sequence))


def audit(lease: Lease, value: float, issued_at: float, sequence: int) -> AuditReceived:
    """What an auditor returns."""
    payload = audit_result(lease, 1.0, by=0, value=value).envelope.payload
    return AuditReceived(enveloped(payload, lease.volunteer, issued_at, sequence))


def result_of(action: Action, state: State, outcome: str) -> Observation:
    """What an action that was begun in a state reports: `good`, `bad`, `ask`, `else` or `broken`."""
    match action:
        case Verify(lease_id):
            return _verified(state, lease_id, outcome)
        case Recheck(lease_id):
            return _rechecked(state, lease_id, outcome)
        case Register(lease_id):
            return registration_of(state.leases[lease_id].lease)
        case StoreLeg(lease_id):
            return stored(state.submissions[lease_id])
        case AverageLanes():
            return _averaged(state, action, outcome)
        case Close(lease_id):
            return Closed(lease_id)
        case TrainRouter():
            return RouterTrained(outcome != "bad", "The router is trained.")
    raise AssertionError(action)


def _verified(state: State, lease_id: str, outcome: str) -> Observation:
    known = state.submissions[lease_id]
    s, lease, is_leg = known.submission, state.leases[lease_id].lease, known.submission.start_step is not None
    votes = _votes(state, lease_id, outcome != "bad")
    if outcome == "broken":
        return VerificationFailed(lease_id, "the child died", None if len(votes) % 2 else 30.0)
    if outcome == "ask" and is_leg and known.replay_rate is not None:
        return AuditNeeded(lease_id, _need(state, known))
    if outcome == "else" and is_leg:
        return SnapshotsNeeded(lease_id, (s.start_step + EVERY,))
    found = verdict(lease, accepted=outcome != "bad").verdict
    if votes:
        replay = Rung(rung="replay", passed=outcome != "bad", figure=0.0, bound=0.02)
        found = found.model_copy(update={"rungs": (*found.rungs, replay)})
    return Verified(found, head_commitment(state.tasks[s.task_id].task) if is_leg else None, votes)


def _rechecked(state: State, lease_id: str, outcome: str) -> Observation:
    known = state.submissions[lease_id]
    match outcome:
        case "broken":
            return VerificationFailed(lease_id, "the child died")
        case "ask":
            return AuditNeeded(lease_id, _need(state, known))
        case "else":
            return NotRechecked(lease_id, "its files are gone")
    return Rechecked(lease_id, outcome == "good", "because", _votes(state, lease_id, outcome == "good"))


def _votes(state: State, leg: str, agrees: bool) -> tuple[AuditVote, ...]:
    arrived = [audit for audit in state.audits.values() if audit.leg == leg and audit.outcome == "arrived"]
    return tuple(
        AuditVote(lease_id=audit.lease_id, agrees=agrees, distance=0.0, moments=0.0, note="n") for audit in arrived
    )


def _need(state: State, known: SubmissionState) -> AuditNeed:
    begin = known.submission.start_step
    commitment = state.leases[known.submission.lease_id].start_commitment
    start = None
    if commitment is not None:
        start = AuditStart(
            previous="0" * 64,
            commitment=commitment,
            commit="0" * 40,
            folder="states/x",
            sha256=("1" * 64,) * len(STATE_FILES),
            bytes=(10,) * len(STATE_FILES),
        )
    return AuditNeed(start_step=begin, end_step=begin + EVERY, start=start)


def _averaged(state: State, action: AverageLanes, outcome: str) -> Observation:
    if outcome == "bad":
        return LanesLost(action.task_id, action.leases)
    left_out = action.leases[-1:] if outcome == "else" and len(action.leases) > 1 else ()
    used = action.leases[: len(action.leases) - len(left_out)]
    ends = [state.submissions[lease_id] for lease_id in used]
    if len(used) == 1 and ends[0].head is not None:
        return LanesAveraged(action.task_id, used, ends[0].head, left_out)
    mean = hashlib.sha256(" ".join(one.submission.commitment for one in ends).encode()).hexdigest()
    files = [f"states/{action.task_id}.mean/step-{action.step:08d}/{name}" for name in STATE_FILES]
    head = Head(
        step=action.step,
        loss=0.5,
        previous="0" * 64,
        commitment=mean,
        commit="1" * 40,
        files=tuple(SubmittedFile(path=path, sha256="1" * 64, bytes=10) for path in files),
    )
    return LanesAveraged(action.task_id, used, head, left_out)
