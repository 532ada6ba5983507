"""Records that describe the run: what is trained, on which data, and what is registered.

A payload is a closed pydantic model, one class per record kind; an envelope (`envelope.py`) carries exactly one.
Payloads come from strangers: types are strict, sizes bounded, unknown fields refused.

All are signed by the coordinator: run, task, manifest, registration, invite.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from paris.protocol.fields import (
    Bytes,
    CommitId,
    FiniteFloat,
    LeaseId,
    PublicKey,
    RelativePath,
    RepoId,
    Seconds,
    Settings,
    Sha256,
    ShortText,
    SizeNumber,
    Steps,
    TaskId,
    Text,
)
from paris.protocol.limits import (
    MAX_ATTEMPT,
    MAX_CLUSTERS,
    MAX_INVITE_USES,
    MAX_LANES,
    MAX_NUM_BUCKETS,
    MAX_SMALLER_SIZES,
    MAX_WANT_WORK_BITS,
)
from paris.protocol.payload import Payload
from paris.protocol.size_needs import SizeNeeds


class SharedFile(Payload):
    """A file in the data repo that every volunteer of the run needs."""

    path: RelativePath
    sha256: Sha256
    bytes: Bytes


class RunSpec(Payload):
    """The run's public description, signed by the run's key."""

    kind: ClassVar[str] = "run"
    later_fields: ClassVar[frozenset[str]] = frozenset({"leg_steps", "want_work_bits", "smaller", "peers_relay"})
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
    peers_relay: Literal[True] | None = None
    """The initial peers relay for volunteers behind routers, who can be reached through them; None: they do not."""
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


class Invite(Payload):
    """The organiser's signed permission for the holder of its private key. It is passed on as text; wants show it."""

    kind: ClassVar[str] = "invite"
    invite_id: LeaseId
    uses: Annotated[int, Field(ge=1, le=MAX_INVITE_USES)]
    """How many keys it admits to a run that is closed to others."""
    key: PublicKey
    """Its own: wants that show it are signed with the private one, which is passed on with it."""
