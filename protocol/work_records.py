"""Records of the work on a task: who wants, does, checks and judges it. As strict as those of `run_records.py`.

Signed by the coordinator: lease, challenge, verdict.
Signed by volunteers: want, heartbeat, submission, answer, audit, holding.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from paris.protocol.audit_order import AuditOrder
from paris.protocol.fields import (
    Bytes,
    CommitId,
    FiniteFloat,
    LeaseId,
    PeerAddress,
    PublicKey,
    RepoId,
    SealedInvite,
    SealedLease,
    Seconds,
    Sha256,
    ShortText,
    Signature,
    SizeNumber,
    Sketch,
    Steps,
    TaskId,
    Text,
    Timestamp,
    Work,
)
from paris.protocol.limits import (
    MAX_ATTEMPT,
    MAX_CLUSTERS,
    MAX_SUBMISSION_FILES,
)
from paris.protocol.payload import Payload
from paris.protocol.run_records import SubmittedFile


class Lease(Payload):
    """The coordinator's expiring permission to work on a task. `attempt` is the fencing token."""

    kind: ClassVar[str] = "lease"
    later_fields: ClassVar[frozenset[str]] = frozenset({"start_step", "to_step", "draw_sha256", "audit", "size"})
    lease_id: LeaseId
    task_id: TaskId
    attempt: Annotated[int, Field(ge=1, le=MAX_ATTEMPT)]
    volunteer: PublicKey
    granted_at: Timestamp
    expires_at: Timestamp
    state: Literal["granted", "released", "revoked"] = "granted"
    reason: Text = ""
    start_step: Steps | None = None
    """Step of the task's head when a leg was granted, 0 without a head; None: no legs."""
    to_step: Steps | None = None
    """The last step of the leg; the volunteer may hand in at any snapshot before. None: no legs."""
    draw_sha256: Sha256 | None = None
    """Digest of the secret that will decide which stretches of the work are replayed; the verdict reveals it."""
    audit: AuditOrder | None = None
    """What to audit: then `attempt` numbers the audits of the task, and the task's own lease is another."""
    size: SizeNumber | None = None
    """Of the expert that is trained; None: the run's model."""


class Challenge(Payload):
    """Asks a volunteer for snapshots of its handed-in work, so that a stretch between them can be replayed."""

    kind: ClassVar[str] = "challenge"
    lease_id: LeaseId
    task_id: TaskId
    attempt: Annotated[int, Field(ge=1, le=MAX_ATTEMPT)]
    volunteer: PublicKey
    steps: Annotated[tuple[Annotated[int, Field(ge=1, le=10**9)], ...], Field(min_length=1, max_length=2)]
    """Of scheduled snapshots."""
    answer_until: Timestamp


class Rung(Payload):
    """Measured figure and bound of one rung of the ladder."""

    rung: Literal["envelope", "structure", "novelty", "skill", "replay"]
    passed: bool
    figure: FiniteFloat
    bound: FiniteFloat
    note: Text = ""


class Verdict(Payload):
    """The result of verification."""

    kind: ClassVar[str] = "verdict"
    later_fields: ClassVar[frozenset[str]] = frozenset({"credit_steps", "credit_s", "draw_secret", "replay_rate"})
    lease_id: LeaseId
    task_id: TaskId
    attempt: Annotated[int, Field(ge=1, le=MAX_ATTEMPT)]
    volunteer: PublicKey
    accepted: bool
    reason: Text
    rungs: Annotated[tuple[Rung, ...], Field(max_length=5)]
    credit_steps: Steps | None = None
    """Verified steps."""
    credit_s: Seconds | None = None
    """Time from the grant to the submission, as the coordinator saw it."""
    draw_secret: Sha256 | None = None
    """The preimage of the lease's `draw_sha256`, hex: anybody can check which stretches were to be replayed."""
    replay_rate: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    """The rate of that draw (`draws.py`)."""


class Want(Payload):
    """A volunteer's request for work: its machine, and what it can take."""

    kind: ClassVar[str] = "want"
    later_fields: ClassVar[frozenset[str]] = frozenset({"work", "invite", "invite_proof", "audits"})
    name: ShortText
    device: ShortText
    memory_bytes: Bytes
    disk_bytes: Bytes
    state: Literal["waiting", "busy", "paused", "leaving"]
    node_version: ShortText
    work: Work | None = None
    """Proof of work of the signer for this run."""
    invite: SealedInvite | None = None
    """An invite of this run, in place of work."""
    invite_proof: Signature | None = None
    """By the invite's key, over the run and the signer: see `paris.protocol.invites`."""
    audits: Literal[True] | None = None
    """Whether it takes leases of audits."""


PauseReason = Literal["asked", "hours", "in-use", "battery", "program", "temperature"]
"""Why a volunteer's machine does not train for the moment. It names no program, hour or figure: records are public."""


class Heartbeat(Payload):
    """Progress on a lease. `commitment` is the digest of the last snapshot, chained to the previous one."""

    kind: ClassVar[str] = "heartbeat"
    later_fields: ClassVar[frozenset[str]] = frozenset({"lease", "pause_reason"})
    lease_id: LeaseId
    task_id: TaskId
    attempt: Annotated[int, Field(ge=1, le=MAX_ATTEMPT)]
    state: Literal["fetching", "training", "paused", "uploading", "waiting-verdict", "failed"]
    step: Steps
    loss: FiniteFloat | None = None
    steps_per_s: Seconds = 0.0
    commitment: Sha256 | None = None
    commitment_step: Steps = 0
    lease: SealedLease | None = None
    """The granted lease, sealed: peers store the record because of it."""
    pause_reason: PauseReason | None = None
    """Of the state "paused"."""


class Submission(Payload):
    """The finished checkpoint, or the end of a leg: pull request, commit, files."""

    kind: ClassVar[str] = "submission"
    later_fields: ClassVar[frozenset[str]] = frozenset({"start_step", "lease"})
    lease_id: LeaseId
    task_id: TaskId
    attempt: Annotated[int, Field(ge=1, le=MAX_ATTEMPT)]
    name: ShortText
    repo: RepoId
    pull_request: Annotated[int, Field(ge=1, le=10**9)] | None
    """None in the copy inside the pull request, which is written before the number is known."""
    commit: CommitId | None
    """None in the copy inside the pull request."""
    files: Annotated[tuple[SubmittedFile, ...], Field(min_length=1, max_length=MAX_SUBMISSION_FILES)]
    steps: Steps
    final_loss: FiniteFloat
    commitment: Sha256
    """The last digest of the snapshot chain."""
    start_step: Steps | None = None
    """Where the leg started; None: no legs. `files` then are expert.safetensors (the EMA weights) and chain.json, and
    before the task's last step weights.safetensors and optimizer.safetensors."""
    lease: SealedLease | None = None
    """As in a heartbeat."""


class Answer(Payload):
    """The snapshots that a challenge asked for, in a commit of the submission's pull request."""

    kind: ClassVar[str] = "answer"
    lease_id: LeaseId
    task_id: TaskId
    attempt: Annotated[int, Field(ge=1, le=MAX_ATTEMPT)]
    commit: CommitId
    files: Annotated[tuple[SubmittedFile, ...], Field(min_length=3, max_length=MAX_SUBMISSION_FILES)]
    """step-<8 digits>/weights.safetensors, ema.safetensors and optimizer.safetensors below the submission's folder."""
    lease: SealedLease | None = None
    """As in a heartbeat."""


class Audit(Payload):
    """What an auditor found at the end of its steps."""

    kind: ClassVar[str] = "audit"
    lease_id: LeaseId
    task_id: TaskId
    attempt: Annotated[int, Field(ge=1, le=MAX_ATTEMPT)]
    commitment: Sha256
    """Of the state that it reached."""
    digest: Sha256
    """Of its ema.safetensors, keyed by the lease's nonce."""
    sketch: Sketch
    """Projections of the way that led there (`audits.py`)."""
    lease: SealedLease | None = None
    """As in a heartbeat."""


class Holding(Payload):
    """Addresses where a volunteer serves shards of its cluster; it says on request which shards it has."""

    kind: ClassVar[str] = "holding"
    cluster: Annotated[int, Field(ge=0, lt=MAX_CLUSTERS)]
    manifest_sha256: Sha256
    addresses: Annotated[tuple[PeerAddress, ...], Field(min_length=1, max_length=4)]
