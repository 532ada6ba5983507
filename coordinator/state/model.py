"""The coordinator's memory as plain frozen values: what `tick` reads and returns, and the store keeps.

Nothing here talks to the world. Each class is one row of a table in `store.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import BaseModel, ConfigDict

from paris.protocol.records import Heartbeat, Lease, Registration, Submission, Task, Verdict, Want


class Row(BaseModel):
    """Base of what is kept: frozen, closed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TaskState(Row):
    """A task, who holds it, and what came of it."""

    task: Task
    lease_id: str | None = None
    """The lease that is being worked on now."""
    registration: Registration | None = None


class LeaseState(Row):
    """A lease ever granted, with the last sign of life on it."""

    lease: Lease
    heartbeat: Heartbeat | None = None
    heartbeat_at: float | None = None
    """When the coordinator saw it, by its own clock."""
    heartbeat_sequence: int = 0


class VolunteerState(Row):
    """What is known of a volunteer."""

    public_key: str
    want: Want
    seen_at: float
    want_sequence: int
    waiting_since: float
    num_revoked: int = 0
    num_accepted: int = 0
    num_rejected: int = 0


SubmissionPhase = Literal["seen", "accepted", "rejected", "registered", "closed"]


class SubmissionState(Row):
    """A submission and how far it has come.

    seen -> accepted -> registered, or seen -> rejected -> closed. A phase changes when the work that it waits for
    reports back, so that a coordinator killed in between simply asks for that work again.
    """

    submission: Submission
    signer: str
    envelope: str
    """The signed record, as text."""
    seen_at: float
    phase: SubmissionPhase = "seen"
    verdict: Verdict | None = None
    num_tries: int = 0
    retry_at: float = 0.0


class RouterState(Row):
    """The router's training, which the coordinator does itself."""

    phase: Literal["waiting", "training", "done", "failed"] = "waiting"
    note: str = ""
    from_samples: bool = False
    """Whether it is, or was last, trained on rows that the experts drew."""


@dataclass(frozen=True)
class State:
    """Everything the coordinator knows."""

    tasks: dict[str, TaskState] = field(default_factory=dict)
    leases: dict[str, LeaseState] = field(default_factory=dict)
    volunteers: dict[str, VolunteerState] = field(default_factory=dict)
    submissions: dict[str, SubmissionState] = field(default_factory=dict)
    router: RouterState = field(default_factory=RouterState)

    def with_task(self, task: TaskState) -> State:
        """A copy in which this task stands so."""
        return replace(self, tasks={**self.tasks, task.task.task_id: task})

    def with_lease(self, lease: LeaseState) -> State:
        """A copy in which this lease stands so."""
        return replace(self, leases={**self.leases, lease.lease.lease_id: lease})

    def with_volunteer(self, volunteer: VolunteerState) -> State:
        """A copy in which this volunteer stands so."""
        return replace(self, volunteers={**self.volunteers, volunteer.public_key: volunteer})

    def with_submission(self, submission: SubmissionState) -> State:
        """A copy in which this submission stands so."""
        return replace(self, submissions={**self.submissions, submission.submission.lease_id: submission})

    def with_router(self, router: RouterState) -> State:
        """A copy in which the router stands so."""
        return replace(self, router=router)

    @property
    def num_registered(self) -> int:
        """How many tasks have an expert."""
        return sum(task.registration is not None for task in self.tasks.values())

    @property
    def is_complete(self) -> bool:
        """Whether every task has its expert."""
        return bool(self.tasks) and self.num_registered == len(self.tasks)
