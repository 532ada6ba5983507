"""The numbers by which the coordinator decides."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

AFTER_START_S = 600.0
"""No answer or audit is late so soon after a start: it may have come while the coordinator was down."""


class Policy(BaseModel):
    """Limits and durations of `tick`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    lease_s: float = Field(gt=0)
    """Life of a lease; it is renewed while heartbeats arrive."""
    heartbeat_every_s: float = Field(gt=0)
    """How often a volunteer reports."""
    want_life_s: float = Field(default=60.0, gt=0)
    """How long after its last want a volunteer can get a lease."""
    allowed_only: bool = False
    """Only volunteers that the organiser allowed get leases."""
    min_node_version: str = "0"
    """Volunteers with older software get no leases."""
    fault_wait_s: float = Field(default=60.0, gt=0)
    """Wait of a volunteer for the next lease after its second fault in a row; doubled at each further one, to a day."""
    fault_life_s: float = Field(default=7 * 86400.0, gt=0)
    """After this time without a new one, half of a volunteer's faults are forgotten."""
    train_router_after: int = Field(default=0, ge=0)
    """Router training starts at this number of registered experts; 0: when the organiser asks for it."""
    forget_after_s: float = Field(default=30 * 86400.0, gt=0)
    """How long after its last want a volunteer is forgotten, with what was counted of it."""
    forget_fresh_after_s: float = Field(default=2 * 86400.0, gt=0)
    """How long after it one is forgotten of whom nothing is counted, and who showed no invite."""
    max_tries: int = Field(default=20, ge=1)
    """Verifications that broke down before the submission is rejected; trouble of the organiser's does not count."""
    retry_s: float = Field(default=10.0, gt=0)
    """Wait before the first retry of a verification; doubled each time up to ten minutes."""
    leg_steps: int | None = Field(default=None, ge=1)
    """Steps of a leg, where `leg_s` does not decide; None: a lease is for all steps of its task."""
    leg_s: float | None = Field(default=None, gt=0)
    """Duration of a leg, for volunteers whose speed is known."""
    lanes: int = Field(default=1, ge=1)
    """Volunteers that train an expert side by side, in rounds of `leg_steps`."""
    replicas: int = Field(default=1, ge=1, le=16)
    """Volunteers that may hold a task at the same time, where some wait; the first verified work ends the others'."""
    snapshot_every: int = Field(default=1, ge=1)
    """Legs end at multiples of so many steps, and at a task's last step."""
    replay_rate: float | None = Field(default=None, ge=0, le=1)
    """Probability that a leg of a well-known volunteer is replayed, beyond the first stretch of a training; None: no
    leg is replayed."""
    audits: bool = False
    """Whether other volunteers train the drawn stretches again, not the organiser's machine."""
    audit_s: float = Field(default=7200.0, gt=0)
    """Time in which an auditor must return what it found, or report; a long stretch has its share of the deadline."""
    audit_draw_s: float = Field(default=900.0, gt=0)
    """How long a drawn auditor may finish other work before another one is drawn."""
    audit_wait_s: float = Field(default=86400.0, gt=0)
    """After so long without an audit the organiser's machine trains the stretch again."""
    bait_rate: float = Field(default=0.1, ge=0, le=1)
    """Share of the audits whose claim is known to be wrong, as long as there are such."""
    roll_back_wrong: Literal["never", "unbuilt", "always"] = "unbuilt"
    """Whether verified work that a recheck refuses is rolled back: only where no other volunteer's leg goes with it."""
    replay_bound: float = Field(default=0.02, gt=0)
    """Largest distance of a claimed end from an honest one."""
    answer_s: float = Field(default=86400.0, gt=0)
    """Time in which a volunteer must give the snapshots that a replay starts from."""
    draw_key: str = Field(default="", repr=False)
    """Secret, hex: of it and a lease's id the lease's draw secret is made."""
