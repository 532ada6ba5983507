"""The plan of a run, as data: what `paris-coord plan` prints."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Bytes = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ChecksPlan(_Closed):
    """What is verified in a run of legs, where all machines are of one kind; the mean over the draws."""

    legs: Annotated[int, Field(ge=1)]
    """Of all experts and lanes: each is verified."""
    stretches_a_leg: Annotated[int, Field(ge=1)]
    replays: Annotated[float, Field(ge=0)]
    """Stretches that are trained again."""
    replayed_share: Annotated[float, Field(ge=0)]
    """Of all trained steps."""
    replays_s: Seconds
    """Of the organiser's machine, or of the auditors'."""
    verifications_s: Seconds
    """Of the organiser's machine, without replays."""


class LanesPlan(_Closed):
    """Rounds and means, in a run of several lanes."""

    lanes: Annotated[int, Field(ge=2)]
    further: Annotated[int, Field(ge=0)]
    """Lanes beyond each expert's own that the volunteers suffice for, in all."""
    further_steps: Annotated[int, Field(ge=0)]
    """Steps in them, in all."""
    rounds: Annotated[int, Field(ge=1)]
    """Of an expert; the last is one lane's alone."""
    means: Annotated[int, Field(ge=0)]
    """Of all experts."""
    fetched_bytes: Bytes
    """From the Hub, by the organiser's machine, for the means."""
    sent_bytes: Bytes


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
    checks: ChecksPlan | None = None
    """Of all legs, in a run of legs."""
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
    replays_by: Literal["organiser", "volunteers"] | None = None
    """Who trains stretches again; None: nobody."""
    lanes: LanesPlan | None = None
    problems: list[Problem]
    assumptions: list[str]
