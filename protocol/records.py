"""The payloads of records, as closed pydantic models.

One class per record kind. An envelope (`envelope.py`) carries exactly one payload. Payloads come from strangers: types
are strict, sizes bounded, unknown fields refused.

Signed by the coordinator: run, task, manifest, lease, challenge, verdict, registration, invite.
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
    RelativePath,
    RepoId,
    SealedInvite,
    SealedLease,
    Seconds,
    Settings,
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
    MAX_INVITE_USES,
    MAX_LANES,
    MAX_NUM_BUCKETS,
    MAX_SMALLER_SIZES,
    MAX_SUBMISSION_FILES,
    MAX_WANT_WORK_BITS,
)
from paris.protocol.payload import Payload as Payload
from paris.protocol.size_needs import SizeNeeds


class SharedFile(Payload):
    """A file in the data repo that every volunteer of the run needs."""

    path: RelativePath
    sha256: Sha256
    bytes: Bytes


class RunSpec(Payload):
    """The run's public description, signed by the run's key."""

    kind: ClassVar[str] = "run"
    later_fields: ClassVar[frozenset[str]] = frozenset({"leg_steps", "want_work_bits", "smaller"})
    name: ShortText
    num_experts: Annotated[int, Field(ge=1, le=MAX_CLUSTERS)]
    num_buckets: Annotated[int, Field(ge=1, le=MAX_NUM_BUCKETS)] = 1
    hub_endpoint: Text
    data_repo: RepoId
    model_repo: RepoId
    initial_peers: Annotated[tuple[Text, ...], Field(max_length=8)] = ()
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    model: Settings
    """Fields of `paris.experts.models.presets.ModelConfig`."""
    training: Settings
    """Fields of `paris.experts.training.expert_training.TrainingConfig`."""
    text: Settings
    """Fields of `paris.experts.frozen.text.TextConfig`: the frozen text encoder, by files and hashes."""
    codec: Settings
    """Fields of `paris.experts.frozen.codec.CodecConfig`: pixels, or a VAE's latents."""
    initial_weights: SharedFile | None = None
    """Initial weights of all experts; None: random, from `seed`."""
    heartbeat_every_s: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
    lease_s: Annotated[float, Field(gt=0, le=30 * 86400, allow_inf_nan=False)]
    licence: ShortText
    attribution: Text = ""
    min_node_version: ShortText = "0.1.0"
    leg_steps: Annotated[int, Field(ge=1, le=10**9)] | None = None
    """Usual length of a leg; None: one volunteer trains a whole expert."""
    want_work_bits: Annotated[int, Field(ge=1, le=MAX_WANT_WORK_BITS)] | None = None
    """Proof of work that peers ask of each want; None: none."""
    smaller: Annotated[tuple[Settings, ...], Field(min_length=1, max_length=MAX_SMALLER_SIZES)] | None = None
    """Sizes of experts for machines that cannot hold `model`, the largest first: fields that differ from `model`."""


class SubmittedFile(Payload):
    """One file of a submission, of an answer, or of a head."""

    path: RelativePath
    sha256: Sha256
    bytes: Bytes


class Head(Payload):
    """The last verified state of an expert's training: where its next leg starts.

    `files` are weights.safetensors, ema.safetensors and optimizer.safetensors in the model repo. They are a snapshot
    (`paris.experts.training.commitments`): `commitment` follows from `previous`, the task, the step and the files.
    """

    later_fields: ClassVar[frozenset[str]] = frozenset({"size"})
    step: Annotated[int, Field(ge=1, le=10**9)]
    loss: FiniteFloat
    """Smoothed training loss."""
    previous: Sha256
    commitment: Sha256
    commit: CommitId
    """Of the model repo."""
    files: Annotated[tuple[SubmittedFile, ...], Field(min_length=3, max_length=3)]
    size: SizeNumber | None = None
    """Of this expert, and of all its later legs; None: the run's model."""


class LaneEnd(Payload):
    """The verified state that a lane's round ended with: `state_folder` of its task in that commit."""

    task_id: TaskId
    commitment: Sha256
    commit: CommitId


class Task(Payload):
    """A unit of training: one expert, a further lane of it (`lanes.py`), or the router."""

    kind: ClassVar[str] = "task"
    later_fields: ClassVar[frozenset[str]] = frozenset({"head", "mean_of", "smaller"})
    task_id: TaskId
    cluster: Annotated[int, Field(ge=0, lt=MAX_CLUSTERS)]
    steps: Annotated[int, Field(ge=1, le=10**9)]
    batch_size: Annotated[int, Field(ge=1, le=2**20)]
    manifest_sha256: Sha256
    data_bytes: Bytes
    """Total size of the shards that the volunteer downloads."""
    min_memory_bytes: Bytes
    min_disk_bytes: Bytes
    deadline_s: Seconds
    """Time from the grant to the last step; sets the slope of the deadline curve."""
    grace_s: Seconds
    objective: Settings = Field(default_factory=dict)
    """Fields of `paris.experts.objectives.objectives.Objective`, what this expert predicts; empty: flow matching."""
    state: Literal["open", "leased", "submitted", "registered"]
    attempt: Annotated[int, Field(ge=0, le=MAX_ATTEMPT)] = 0
    head: Head | None = None
    """None: training starts from the initial weights."""
    mean_of: Annotated[tuple[LaneEnd, ...], Field(min_length=2, max_length=MAX_LANES)] | None = None
    """The states whose mean the head is, by lane: anybody can compute it again. None: a leg ended with the head."""
    smaller: Annotated[tuple[SizeNeeds, ...], Field(min_length=1, max_length=MAX_SMALLER_SIZES)] | None = None
    """Of the run's smaller sizes, in their order. None: the expert has the run's model."""


class Shard(Payload):
    """A Parquet file with rows of one cluster."""

    path: RelativePath
    sha256: Sha256
    bytes: Bytes
    rows: Annotated[int, Field(ge=1, le=2**40)]


class ManifestPart(Payload):
    """One part of a cluster's manifest (`manifest.py`)."""

    kind: ClassVar[str] = "manifest"
    cluster: Annotated[int, Field(ge=0, lt=MAX_CLUSTERS)]
    part: Annotated[int, Field(ge=0, lt=4096)]
    num_parts: Annotated[int, Field(ge=1, le=4096)]
    manifest_sha256: Sha256
    repo: RepoId
    revision: CommitId
    shards: Annotated[tuple[Shard, ...], Field(max_length=16)]


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


class Registration(Payload):
    """Names the file that is expert k of the run."""

    kind: ClassVar[str] = "registration"
    later_fields: ClassVar[frozenset[str]] = frozenset({"size"})
    task_id: TaskId
    cluster: Annotated[int, Field(ge=0, lt=MAX_CLUSTERS)]
    repo: RepoId
    commit: CommitId
    path: RelativePath
    sha256: Sha256
    bytes: Bytes
    steps: Steps
    volunteer: PublicKey
    volunteer_name: ShortText
    lease_id: LeaseId
    size: SizeNumber | None = None
    """None: the run's model."""


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


class Invite(Payload):
    """The organiser's signed permission for the holder of its private key. It is passed on as text; wants show it."""

    kind: ClassVar[str] = "invite"
    invite_id: LeaseId
    uses: Annotated[int, Field(ge=1, le=MAX_INVITE_USES)]
    """How many keys it admits to a run that is closed to others."""
    key: PublicKey
    """Its own: wants that show it are signed with the private one, which is passed on with it."""


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
