"""The plan of a run, as data: what `paris-coord plan` prints."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Bytes = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CardPlan(_Closed):
    """The run's work on one card."""

    name: str
    is_measured: bool
    """The speed was measured on it; else it is assumed."""
    memory_bytes: Bytes
    obstacle: str = ""
    """Why it cannot train the run's experts; its times are then None."""
    rows_together: int | None = None
    """Rows of a batch in memory together."""
    checkpointing: bool = False
    """Needed for that."""
    step_s: Seconds | None = None
    expert_s: Seconds | None = None
    """Training of one expert, with nothing else on the card."""
    beside_s: Seconds | None = None
    """The same while the other volunteers train, mean over the experts; more where they share the machine."""
    experts_s: Seconds | None = None
    """Training of all experts, summed over the volunteers."""
    leg_s: Seconds | None = None
    """One leg, in a run of legs."""
    all_s: Seconds | None = None
    """Until the last expert is trained, with the plan's number of volunteers."""
    warm_start_s: Seconds | None = None
    router_s: Seconds | None = None
    verification_s: Seconds | None = None
    """Of one submission, on the organiser's machine."""
    prepare_s: Seconds | None = None


class VolunteerPlan(_Closed):
    """What one volunteer's machine needs for one expert."""

    memory_bytes: Bytes
    """Least memory of the device that the task names."""
    whole_batch_memory_bytes: Bytes
    """Memory with the whole batch at once and without checkpointing: the fastest."""
    disk_bytes: Bytes
    """Snapshots, weights, shards, text encoder, initial weights."""
    down_bytes: Bytes
    """Shards of the largest cluster, text encoder or vocabulary, initial weights."""
    up_bytes: Bytes
    """The finished weights."""
    leg_steps: int | None = None
    """Usual steps of a leg; None: no legs."""
    leg_bytes: Bytes = 0
    """The state of an expert, which a leg fetches at its start and sends at its end."""
    control_bytes_per_hour: Bytes
    """Records and heartbeats, beside the data."""


class OrganiserPlan(_Closed):
    """What the organiser's machine and Hub need."""

    data_repo_bytes: Bytes
    model_repo_bytes: Bytes
    """Experts, router, release."""
    hub_sends_bytes: Bytes
    """To all volunteers, without sharing between them."""
    disk_bytes: Bytes
    """The run directory at the end, with the embedded Hub if there is one."""
    prepare_disk_bytes: Bytes
    """Most that `prepare` takes meanwhile."""
    prepare_memory_bytes: Bytes


class Problem(_Closed):
    """A setting that cannot work, or that is worth a second look."""

    setting: str
    value: str
    what: str
    """One sentence."""
    next_step: str
    refuses: bool
    """`publish-tasks` refuses it unless told."""


class Plan(_Closed):
    """The whole plan."""

    run: str
    num_experts: int
    volunteers: int
    is_prepared: bool
    pictures: int
    """Training and held-out pictures."""
    rows: list[int]
    """Training rows of each cluster."""
    steps: int
    batch_size: int
    """Rows of an expert's step."""
    expert_parameters: int
    router_parameters: int
    expert_flops: int
    """Of one expert's training."""
    epochs: float
    """How often an expert sees each of its pictures."""
    cards: list[CardPlan]
    volunteer: VolunteerPlan
    organiser: OrganiserPlan
    problems: list[Problem]
    assumptions: list[str]
