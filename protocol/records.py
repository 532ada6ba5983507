"""The payloads that travel between machines, as closed pydantic models.

One class a record kind; `RECORDS` maps the kind's name to its class, who may sign it, and its caps. An envelope
(`envelope.py`) carries exactly one payload. Everything here is data from outside: strict types, bounded sizes,
unknown fields refused.

Signed by the coordinator: run, task, manifest, lease, verdict, registration.
Signed by volunteers: want, heartbeat, submission, holding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from paris.protocol.limits import MAX_CLUSTERS, MAX_NUM_BUCKETS, MAX_SUBMISSION_FILES

Scalar = bool | int | float | str
Settings = Annotated[dict[Annotated[str, StringConstraints(max_length=48)], Scalar], Field(max_length=48)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
CommitId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
PublicKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
RepoId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$")]
TaskId = Annotated[str, StringConstraints(pattern=r"^(expert-[0-9]{1,3}|router)$")]
LeaseId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
RelativePath = Annotated[
    str, StringConstraints(max_length=200, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$")
]
Text = Annotated[str, StringConstraints(max_length=300)]
PeerAddress = Annotated[
    str, StringConstraints(pattern=r"^/(ip4/[0-9.]{7,15}|ip6/[0-9a-f:.]{2,45})/tcp/[0-9]{1,5}/p2p/[A-Za-z0-9]{40,64}$")
]
"""Where a peer listens, in numbers: a name would be looked up by every reader, whatever it leads to."""
ShortText = Annotated[str, StringConstraints(max_length=80, pattern=r"^[^\x00-\x1f\x7f-\x9f<>|`\[\]]*$")]
"""Shown in terminals and model cards: no control characters, no markup."""
Bytes = Annotated[int, Field(ge=0, le=2**50)]
Steps = Annotated[int, Field(ge=0, le=10**9)]
Seconds = Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)]
Instant = Annotated[float, Field(ge=0, le=10**11, allow_inf_nan=False)]
"""UTC seconds since 1970."""
Figure = Annotated[float, Field(allow_inf_nan=False)]


class Payload(BaseModel):
    """Base of every payload: frozen, closed, strict."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    kind: ClassVar[str]
    """Name of the record kind; parts of records (Shard, Rung, SubmittedFile) have none."""


class PartFile(Payload):
    """One file that every volunteer of a run needs, in the data repo beside the text encoder's."""

    path: RelativePath
    sha256: Sha256
    bytes: Bytes


class RunSpec(Payload):
    """What is trained: the run's one public description. Its signer is the run's key."""

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
    """Fields of `paris.experts.frozen.text.TextConfig`: which frozen text encoder, by files and hashes."""
    codec: Settings
    """Fields of `paris.experts.frozen.codec.CodecConfig`: pixels, or a VAE's latents."""
    initial_weights: PartFile | None = None
    """What all experts start from; None: the weights of `seed`."""
    heartbeat_every_s: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
    lease_s: Annotated[float, Field(gt=0, le=30 * 86400, allow_inf_nan=False)]
    licence: ShortText
    attribution: Text = ""
    min_node_version: ShortText = "0.1.0"


class Task(Payload):
    """A piece of training work."""

    kind: ClassVar[str] = "task"
    task_id: TaskId
    cluster: Annotated[int, Field(ge=0, lt=MAX_CLUSTERS)]
    steps: Annotated[int, Field(ge=1, le=10**9)]
    batch_size: Annotated[int, Field(ge=1, le=2**20)]
    manifest_sha256: Sha256
    data_bytes: Bytes
    """Bytes of all shards together: what the volunteer downloads."""
    min_memory_bytes: Bytes
    min_disk_bytes: Bytes
    deadline_s: Seconds
    """Time from the grant in which an honest volunteer finishes; also the slope of the deadline curve."""
    grace_s: Seconds
    objective: Settings = {}
    """Fields of `paris.experts.objectives.objectives.Objective`, what this expert learns; empty: flow matching."""
    state: Literal["open", "leased", "submitted", "registered"]
    attempt: Annotated[int, Field(ge=0, le=10**6)] = 0


class Shard(Payload):
    """One Parquet file of a cluster's rows."""

    path: RelativePath
    sha256: Sha256
    bytes: Bytes
    rows: Annotated[int, Field(ge=1, le=2**40)]


class ManifestChunk(Payload):
    """A part of a cluster's manifest; the parts in order make the whole shard list (`manifest.py`)."""

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
    attempt: Annotated[int, Field(ge=1, le=10**6)]
    volunteer: PublicKey
    granted_at: Instant
    expires_at: Instant
    state: Literal["granted", "released", "revoked"] = "granted"
    reason: Text = ""


class Rung(Payload):
    """What one rung of the ladder measured, and the bound it was held to."""

    rung: Literal["envelope", "structure", "novelty", "skill", "replay"]
    passed: bool
    figure: Figure
    bound: Figure
    note: Text = ""


class Verdict(Payload):
    """What verification found, rung by rung."""

    kind: ClassVar[str] = "verdict"
    lease_id: LeaseId
    task_id: TaskId
    attempt: Annotated[int, Field(ge=1, le=10**6)]
    volunteer: PublicKey
    accepted: bool
    reason: Text
    rungs: Annotated[tuple[Rung, ...], Field(max_length=5)]


class Registration(Payload):
    """The record that this exact file is expert k of the run."""

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
    """What a volunteer is and what it can take."""

    kind: ClassVar[str] = "want"
    name: ShortText
    device: ShortText
    memory_bytes: Bytes
    disk_bytes: Bytes
    state: Literal["waiting", "busy", "paused", "leaving"]
    node_version: ShortText


class Heartbeat(Payload):
    """Signed progress on a lease. `commitment` is the digest of the last snapshot, chained to the one before."""

    kind: ClassVar[str] = "heartbeat"
    lease_id: LeaseId
    task_id: TaskId
    attempt: Annotated[int, Field(ge=1, le=10**6)]
    state: Literal["fetching", "training", "uploading", "waiting-verdict", "failed"]
    step: Steps
    loss: Figure | None = None
    steps_per_s: Seconds = 0.0
    commitment: Sha256 | None = None
    commitment_step: Steps = 0


class SubmittedFile(Payload):
    """One file of a submission, as the volunteer signs it."""

    path: RelativePath
    sha256: Sha256
    bytes: Bytes


class Submission(Payload):
    """The finished checkpoint: which pull request, at which commit, with which files."""

    kind: ClassVar[str] = "submission"
    lease_id: LeaseId
    task_id: TaskId
    attempt: Annotated[int, Field(ge=1, le=10**6)]
    name: ShortText
    repo: RepoId
    pull_request: Annotated[int, Field(ge=1, le=10**9)] | None
    """None in the copy inside the pull request itself, which is written before the number is known."""
    commit: CommitId | None
    """None in the copy inside the pull request itself."""
    files: Annotated[tuple[SubmittedFile, ...], Field(min_length=1, max_length=MAX_SUBMISSION_FILES)]
    steps: Steps
    final_loss: Figure
    commitment: Sha256
    """The last link of the snapshot chain."""


class Holding(Payload):
    """Where a volunteer serves the shards of a cluster that it works on. Which of them it has, it says when asked."""

    kind: ClassVar[str] = "holding"
    cluster: Annotated[int, Field(ge=0, lt=MAX_CLUSTERS)]
    manifest_sha256: Sha256
    addresses: Annotated[tuple[PeerAddress, ...], Field(min_length=1, max_length=4)]


@dataclass(frozen=True)
class RecordRule:
    """What a peer enforces for one kind before it stores or believes a record."""

    payload: type[Payload]
    signer: Literal["coordinator", "volunteer"]
    max_bytes: int
    max_life_s: float


RECORDS: dict[str, RecordRule] = {
    "run": RecordRule(RunSpec, "coordinator", 4096, 7 * 86400),
    "task": RecordRule(Task, "coordinator", 2048, 86400),
    "manifest": RecordRule(ManifestChunk, "coordinator", 4096, 7 * 86400),
    "lease": RecordRule(Lease, "coordinator", 2048, 30 * 86400),
    "verdict": RecordRule(Verdict, "coordinator", 4096, 30 * 86400),
    "registration": RecordRule(Registration, "coordinator", 2048, 30 * 86400),
    "want": RecordRule(Want, "volunteer", 2048, 3600),
    "heartbeat": RecordRule(Heartbeat, "volunteer", 2048, 3600),
    "submission": RecordRule(Submission, "volunteer", 4096, 30 * 86400),
    "holding": RecordRule(Holding, "volunteer", 2048, 3600),
}
