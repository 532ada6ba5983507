"""The payloads of records, as closed pydantic models.

One class per record kind. An envelope (`envelope.py`) carries exactly one payload. Payloads come from strangers: types
are strict, sizes bounded, unknown fields refused.

Signed by the coordinator: run, task, manifest, lease, verdict, registration.
Signed by volunteers: want, heartbeat, submission, holding.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from paris.protocol.fields import (
    Bytes,
    CommitId,
    FiniteFloat,
    LeaseId,
    PeerAddress,
    PublicKey,
    RelativePath,
    RepoId,
    Seconds,
    Settings,
    Sha256,
    ShortText,
    Steps,
    TaskId,
    Text,
    Timestamp,
)
from paris.protocol.limits import MAX_ATTEMPT, MAX_CLUSTERS, MAX_NUM_BUCKETS, MAX_SUBMISSION_FILES


class Payload(BaseModel):
    """Base of all payloads: frozen, strict, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    kind: ClassVar[str]
    """Name of the record kind; parts of records (Shard, Rung, SubmittedFile, SharedFile) have none."""


class SharedFile(Payload):
    """A file in the data repo that every volunteer of the run needs."""

    path: RelativePath
    sha256: Sha256
    bytes: Bytes


class RunSpec(Payload):
    """The run's public description, signed by the run's key."""

    kind: ClassVar[str] = "run"
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


class Task(Payload):
    """A unit of training: one expert, or the router."""

    kind: ClassVar[str] = "task"
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
    objective: Settings = {}
    """Fields of `paris.experts.objectives.objectives.Objective`, what this expert predicts; empty: flow matching."""
    state: Literal["open", "leased", "submitted", "registered"]
    attempt: Annotated[int, Field(ge=0, le=MAX_ATTEMPT)] = 0


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
    lease_id: LeaseId
    task_id: TaskId
    attempt: Annotated[int, Field(ge=1, le=MAX_ATTEMPT)]
    volunteer: PublicKey
    granted_at: Timestamp
    expires_at: Timestamp
    state: Literal["granted", "released", "revoked"] = "granted"
    reason: Text = ""


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
    lease_id: LeaseId
    task_id: TaskId
    attempt: Annotated[int, Field(ge=1, le=MAX_ATTEMPT)]
    volunteer: PublicKey
    accepted: bool
    reason: Text
    rungs: Annotated[tuple[Rung, ...], Field(max_length=5)]


class Registration(Payload):
    """Names the file that is expert k of the run."""

    kind: ClassVar[str] = "registration"
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


class Want(Payload):
    """A volunteer's request for work: its machine, and what it can take."""

    kind: ClassVar[str] = "want"
    name: ShortText
    device: ShortText
    memory_bytes: Bytes
    disk_bytes: Bytes
    state: Literal["waiting", "busy", "paused", "leaving"]
    node_version: ShortText


class Heartbeat(Payload):
    """Progress on a lease. `commitment` is the digest of the last snapshot, chained to the previous one."""

    kind: ClassVar[str] = "heartbeat"
    lease_id: LeaseId
    task_id: TaskId
    attempt: Annotated[int, Field(ge=1, le=MAX_ATTEMPT)]
    state: Literal["fetching", "training", "uploading", "waiting-verdict", "failed"]
    step: Steps
    loss: FiniteFloat | None = None
    steps_per_s: Seconds = 0.0
    commitment: Sha256 | None = None
    commitment_step: Steps = 0


class SubmittedFile(Payload):
    """One file of a submission."""

    path: RelativePath
    sha256: Sha256
    bytes: Bytes


class Submission(Payload):
    """The finished checkpoint: pull request, commit, files."""

    kind: ClassVar[str] = "submission"
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


class Holding(Payload):
    """Addresses where a volunteer serves shards of its cluster; it says on request which shards it has."""

    kind: ClassVar[str] = "holding"
    cluster: Annotated[int, Field(ge=0, lt=MAX_CLUSTERS)]
    manifest_sha256: Sha256
    addresses: Annotated[tuple[PeerAddress, ...], Field(min_length=1, max_length=4)]
