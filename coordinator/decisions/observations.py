"""Observations and actions: input and output of `tick`.

Observations are verified envelopes, or results of the coordinator's own actions. An action is identified by its
subject: two equal actions are one piece of work.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from paris.coordinator.state.audits import AuditNeed, AuditVote, Bait
from paris.coordinator.state.orders import Order
from paris.protocol.envelope import Envelope
from paris.protocol.run_records import Head, Invite, Registration
from paris.protocol.work_records import Answer, Audit, Heartbeat, Submission, Verdict, Want


@dataclass(frozen=True)
class WantReceived:
    """A volunteer's want: what its machine is, and whether it waits for a task."""

    envelope: Envelope[Want]
    age_s: float | None = None
    """Seconds since it was issued, by the wall clock; None counts from `issued_at` to the tick's `now`."""
    invite: Invite | None = None
    """The valid one that it shows."""


@dataclass(frozen=True)
class HeartbeatReceived:
    """A volunteer's progress on its lease."""

    envelope: Envelope[Heartbeat]


@dataclass(frozen=True)
class SubmissionReceived:
    """A volunteer's finished work."""

    envelope: Envelope[Submission]


@dataclass(frozen=True)
class Verified:
    """Verification ended with a verdict."""

    verdict: Verdict
    head: str | None = None
    """Commitment of the task's head when it began; None: there was none."""
    votes: tuple[AuditVote, ...] = ()
    """Of the audits that it took into account."""
    baits: tuple[Bait, ...] = ()
    """What a refusal by audits leaves."""


@dataclass(frozen=True)
class Rechecked:
    """Verified work was trained again as a whole."""

    lease_id: str
    passed: bool
    reason: str
    votes: tuple[AuditVote, ...] = ()
    """Of the audits that decided it."""


@dataclass(frozen=True)
class NotRechecked:
    """Verified work cannot be trained again: files that this takes are gone."""

    lease_id: str
    reason: str


@dataclass(frozen=True)
class AuditNeeded:
    """Verification cannot end before another volunteer has trained a stretch again."""

    lease_id: str
    need: AuditNeed


@dataclass(frozen=True)
class AuditReceived:
    """What an auditor returned."""

    envelope: Envelope[Audit]


@dataclass(frozen=True)
class SnapshotsNeeded:
    """Verification cannot end without the volunteer's snapshots at these steps."""

    lease_id: str
    steps: tuple[int, ...]
    """One or two."""


@dataclass(frozen=True)
class AnswerReceived:
    """Snapshots that a challenge asked for."""

    envelope: Envelope[Answer]


@dataclass(frozen=True)
class VerificationFailed:
    """Verification, or a recheck, ended without a result (Hub down, child died); it will be tried again."""

    lease_id: str
    reason: str
    trouble_s: float | None = None
    """Trouble of the organiser's machine or Hub: how long to wait; the tries are not limited. None: the submission
    itself may be the cause."""


@dataclass(frozen=True)
class Registered:
    """The verified bytes are on the repo's main branch."""

    registration: Registration


@dataclass(frozen=True)
class LegStored:
    """The state that a verified leg ended with is on a branch of the repo."""

    lease_id: str
    head: Head


@dataclass(frozen=True)
class LanesAveraged:
    """The mean of the states that an expert's lanes ended a round with is on a branch of the repo."""

    task_id: str
    """The expert's own."""
    leases: tuple[str, ...]
    """Whose work the mean is of, by lane."""
    head: Head
    """The mean; of a single lane its own state."""
    left_out: tuple[str, ...] = ()
    """Whose states the Hub does not have any more, or could not be averaged."""


@dataclass(frozen=True)
class LanesLost:
    """The Hub has none of the states that an expert's lanes ended a round with, and was asked often."""

    task_id: str
    """The expert's own."""
    leases: tuple[str, ...]
    """Whose work they are of, by lane."""


@dataclass(frozen=True)
class Closed:
    """A pull request that is not needed has its comment and is closed."""

    lease_id: str


@dataclass(frozen=True)
class RouterTrained:
    """Router training ended."""

    ok: bool
    note: str


@dataclass(frozen=True)
class RouterRequested:
    """The organiser asked for router training."""

    from_samples: bool = False
    """On rows that the experts drew, instead of data."""


@dataclass(frozen=True)
class ReleaseStage:
    """What is done now for the release in the making."""

    note: str


@dataclass(frozen=True)
class ReleaseEnded:
    """The making of a release ended."""

    ok: bool
    note: str
    """Its tag, or why there is none."""


Observation = (
    WantReceived
    | HeartbeatReceived
    | SubmissionReceived
    | Verified
    | Rechecked
    | NotRechecked
    | AuditNeeded
    | AuditReceived
    | SnapshotsNeeded
    | AnswerReceived
    | VerificationFailed
    | Registered
    | LegStored
    | LanesAveraged
    | LanesLost
    | Closed
    | RouterTrained
    | RouterRequested
    | ReleaseStage
    | ReleaseEnded
    | Order
)


@dataclass(frozen=True)
class Verify:
    """Run the verification ladder on a submission."""

    lease_id: str


@dataclass(frozen=True)
class Recheck:
    """Train verified work again as a whole, or compare the audits of it."""

    lease_id: str


@dataclass(frozen=True)
class Register:
    """Copy an accepted submission onto main, pinned to the verified commit."""

    lease_id: str


@dataclass(frozen=True)
class StoreLeg:
    """Copy the state at the end of an accepted leg onto a branch, pinned to the verified commit."""

    lease_id: str


@dataclass(frozen=True)
class AverageLanes:
    """Compute the mean of the stored states that an expert's lanes ended a round with, and store it."""

    task_id: str
    step: int
    leases: tuple[str, ...] = field(compare=False)
    """Whose work it is of; a lane that comes later changes nothing once the work has begun."""


@dataclass(frozen=True)
class Close:
    """Comment on a pull request that was rejected or repeats a verified leg, close it and free its storage."""

    lease_id: str


@dataclass(frozen=True)
class TrainRouter:
    """Train the router."""

    from_samples: bool = False


@dataclass(frozen=True)
class MakeRelease:
    """Assemble the registered experts and the router, and upload the model."""


@dataclass(frozen=True)
class UpdateModelRepo:
    """Bring card and tags of the model repo up to the state.

    The service asks for it after each tick, not `tick`: what the Hub shows changes no decision.
    """

    shows: str
    """A digest of what is to be shown."""


@dataclass(frozen=True)
class DrawGrid:
    """Draw a grid of samples for the page.

    The service asks for it after each tick, not `tick`: it changes no decision.
    """

    leases: tuple[str | None, ...]
    """Of the work that it shows, row by row; None: an expert without verified work."""
    columns: str
    """A digest of the prompts and seeds of its columns, and of how they are sampled."""


Action = (
    Verify
    | Recheck
    | Register
    | StoreLeg
    | AverageLanes
    | Close
    | TrainRouter
    | MakeRelease
    | UpdateModelRepo
    | DrawGrid
)
