"""The coordinator's memory as frozen values: what `tick` takes and returns.

Each `Row` is one row of a table in `store.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from paris.coordinator.state.audits import AuditState, Bait, OpenAudit
from paris.coordinator.state.row import Row
from paris.protocol.lanes import lane_of
from paris.protocol.run_records import Head, LaneEnd, Registration, Task
from paris.protocol.work_records import Answer, Challenge, Heartbeat, Lease, Submission, Verdict, Want


class RoundState(Row):
    """A round of an expert's lanes that ended with the mean of several states."""

    step: int
    commitment: str
    head: Head | None
    """The mean, while the repo keeps its files."""
    is_withdrawn: bool = False
    """By a roll-back, which may be taken back."""


class TaskState(Row):
    """A task, its present lease and its registered expert."""

    task: Task
    lease_id: str | None = None
    """The lease that is being worked on now."""
    registration: Registration | None = None
    head_lease_id: str | None = None
    """The lease whose work is the task's head, or this lane's part of it; None without one."""
    rounds: tuple[RoundState, ...] = ()
    """Of an expert with lanes, oldest first."""

    @property
    def is_waiting(self) -> bool:
        """Whether this lane waits for the others of its round, or takes no part in it: nobody works on it."""
        return self.task.state == "submitted" and self.lease_id is None

    def leased(self, lease: Lease) -> TaskState:
        """The task under a new lease."""
        task = self.task.model_copy(update={"state": "leased", "attempt": lease.attempt})
        return self.model_copy(update={"task": task, "lease_id": lease.lease_id})

    def submitted(self) -> TaskState:
        """The task with its work submitted under the present lease."""
        return self.model_copy(update={"task": self.task.model_copy(update={"state": "submitted"})})

    def reopened(self) -> TaskState:
        """The task without a lease."""
        return self.model_copy(update={"task": self.task.model_copy(update={"state": "open"}), "lease_id": None})

    def waiting(self) -> TaskState:
        """The lane without a lease, and closed until its next round."""
        return self.reopened().submitted()

    def registered(self, registration: Registration) -> TaskState:
        """The task with its expert, and no lease."""
        task = self.task.model_copy(update={"state": "registered"})
        return self.model_copy(update={"task": task, "registration": registration, "lease_id": None})

    def unregistered(self) -> TaskState:
        """The task open again, without its expert."""
        task = self.task.model_copy(update={"state": "open"})
        return self.model_copy(update={"task": task, "registration": None, "lease_id": None})

    def at_head(self, head: Head | None, lease_id: str | None, mean_of: tuple[LaneEnd, ...] | None = None) -> TaskState:
        """The task open at a verified state, the work of a lease; None: at its start."""
        task = self.task.model_copy(update={"head": head, "mean_of": mean_of})
        return self.model_copy(update={"task": task, "head_lease_id": lease_id}).unregistered()


class LeaseState(Row):
    """A lease, past or present, with its last heartbeat."""

    lease: Lease
    heartbeat: Heartbeat | None = None
    heartbeat_at: float | None = None
    """When the coordinator received it, UTC seconds by its own clock."""
    heartbeat_sequence: int = 0
    start_commitment: str | None = None
    """Of the head that a leg starts from; None: it starts from the initial weights."""

    def revoked(self, reason: str) -> LeaseState:
        """The lease taken back."""
        return self.model_copy(update={"lease": self.lease.model_copy(update={"state": "revoked", "reason": reason})})


class VolunteerState(Row):
    """A volunteer's last want, and what came of its leases."""

    public_key: str
    want: Want
    seen_at: float
    want_sequence: int
    waiting_since: float
    num_revoked: int = 0
    num_accepted: int = 0
    num_rejected: int = 0
    num_faults: int = 0
    """Leases taken back and work rejected since the last accepted work; see `decisions/trust.py`."""
    faulted_at: float = 0.0
    """When the last of them was, UTC seconds."""
    invites: tuple[str, ...] = ()
    """The ids of those it has shown."""
    num_proven: int = 0
    """Accepted work since a rung last refused some."""
    copied_at: float = 0.0
    """When it returned, as an audit, a claim that was known to be wrong, UTC seconds; 0.0: never."""


Standing = Literal["banned", "allowed"]


class StandingState(Row):
    """What the organiser decided about a volunteer."""

    public_key: str
    standing: Standing
    reason: str = ""
    at: float
    """UTC seconds."""


SubmissionPhase = Literal[
    "seen", "challenged", "auditing", "accepted", "rejected", "repeated", "stored", "registered", "closed", "withdrawn"
]
WAITING: tuple[SubmissionPhase, ...] = ("seen", "challenged", "auditing")
"""Phases before the verdict."""


class SubmissionState(Row):
    """A submission and its phase.

    seen -> accepted -> registered, or stored for a leg before the last; seen -> rejected or repeated -> closed, where
    repeated is a leg that another volunteer's verified leg equals. seen -> challenged -> seen while the volunteer is
    asked for snapshots, seen -> auditing -> seen while another one trains a stretch again. By order of the organiser
    registered and stored work is withdrawn, and comes back. A phase changes when the action that it waits for has
    reported its result, so that a coordinator killed in between asks for that action again.
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
    head: Head | None = None
    """The state that a stored leg ended with, while the repo keeps its files."""
    stored_at: float = 0.0
    """UTC seconds; 0.0: never."""
    withdrawn_at: float = 0.0
    """UTC seconds; 0.0: not withdrawn."""
    replay_rate: float | None = None
    """Probability with which a stretch of it is drawn to be replayed; None: none is."""
    challenge: Challenge | None = None
    """What the volunteer was asked for; None in other phases than challenged."""
    answers: tuple[Answer, ...] = ()
    audit: OpenAudit | None = None
    """What it, or its recheck, waits for."""
    recheck: bool = False
    """Whether verified work is to be trained again as a whole (`decisions/rechecks.py`)."""
    was_rechecked: bool = False
    """Whether it was; once is enough."""
    is_replayed_here: bool = False
    """Whether this machine replays it although volunteers audit: none was there."""
    baits: tuple[Bait, ...] = ()
    """Of refused work: audits that were not given yet, and whose answer is known."""

    def withdrawn(self, now: float) -> SubmissionState:
        """The submission taken back by the organiser."""
        return self.model_copy(update={"phase": "withdrawn", "withdrawn_at": now, "recheck": False, "audit": None})

    def restored(self) -> SubmissionState:
        """Taken-back work as it was: a leg that was stored, or else work that is to be registered."""
        phase = "stored" if self.stored_at else "accepted"
        return self.model_copy(update={"phase": phase, "withdrawn_at": 0.0})


class RouterState(Row):
    """The router's training, on the coordinator's own machine."""

    phase: Literal["waiting", "training", "done", "failed"] = "waiting"
    note: str = ""
    from_samples: bool = False
    """Whether the present, or else the last, training is on rows that the experts drew."""


class ReleaseState(Row):
    """The release that the organiser ordered last, made by the service."""

    phase: Literal["none", "making", "done", "failed"] = "none"
    note: str = ""
    """What is done now; of a release that is done its tag, of one that failed why."""


class WithdrawnInvite(Row):
    """An invite that lets in nobody any more."""

    invite_id: str
    reason: str = ""
    at: float
    """UTC seconds."""


class PauseState(Row):
    """Whether the organiser lets no further lease be granted."""

    is_paused: bool = False
    reason: str = ""
    at: float = 0.0
    """When it was ordered, UTC seconds."""


class _Derived:
    """Room for what follows from a state and is kept with it (`indexes.py`).

    It is no field: equality, `vars` and copies leave it out.
    """

    __slots__ = ("derived",)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self)


@dataclass(frozen=True)
class State(_Derived):
    """Everything the coordinator knows. Never changed in place: `Draft` makes the next one."""

    tasks: Mapping[str, TaskState] = field(default_factory=dict)
    leases: Mapping[str, LeaseState] = field(default_factory=dict)
    volunteers: Mapping[str, VolunteerState] = field(default_factory=dict)
    submissions: Mapping[str, SubmissionState] = field(default_factory=dict)
    router: RouterState = field(default_factory=RouterState)
    release: ReleaseState = field(default_factory=ReleaseState)
    standings: Mapping[str, StandingState] = field(default_factory=dict)
    pause: PauseState = field(default_factory=PauseState)
    audits: Mapping[str, AuditState] = field(default_factory=dict)
    withdrawn_invites: Mapping[str, WithdrawnInvite] = field(default_factory=dict)

    @property
    def experts(self) -> dict[str, TaskState]:
        """The experts' own tasks, without those of further lanes."""
        return {task_id: task for task_id, task in self.tasks.items() if lane_of(task_id) == 0}

    @property
    def num_registered(self) -> int:
        """How many experts are registered."""
        return sum(task.registration is not None for task in self.tasks.values())

    @property
    def is_complete(self) -> bool:
        """Whether every expert is registered."""
        return bool(self.tasks) and self.num_registered == len(self.experts)
