"""The numbers by which the coordinator decides."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Policy(BaseModel):
    """How patient, how generous; all durations in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    lease_s: float = Field(gt=0)
    """Life of a lease; it is renewed while the volunteer makes progress."""
    heartbeat_every_s: float = Field(gt=0)
    """How often a volunteer reports."""
    want_life_s: float = Field(default=60.0, gt=0)
    """How long after its last want a volunteer still counts as there."""
    train_router_after: int = Field(default=0, ge=0)
    """Experts registered before the router is trained; 0 waits for the organiser's word."""
    max_verifications: int = Field(default=1, ge=1)
    """How many submissions are verified at the same time."""
    max_tries: int = Field(default=20, ge=1)
    """How often a verification that could not be carried out is tried again before it counts as a rejection."""
    retry_s: float = Field(default=10.0, gt=0)
    """Wait before the first such retry; doubled each time up to ten minutes."""
