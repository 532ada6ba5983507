"""What the coordinator can see, and what it can decide to do: the two ends of `tick`.

Observations are facts from outside, already checked (envelopes) or from our own child processes. Actions are work
for the world around; each is named by what it is about, so that doing it twice is one piece of work.
"""

from __future__ import annotations

from dataclasses import dataclass

from paris.protocol.envelope import Envelope
from paris.protocol.records import Heartbeat, Registration, Submission, Verdict, Want


@dataclass(frozen=True)
class Wanted:
    """A volunteer says what it is."""

    envelope: Envelope[Want]


@dataclass(frozen=True)
class Beaten:
    """A heartbeat came in."""

    envelope: Envelope[Heartbeat]


@dataclass(frozen=True)
class Submitted:
    """A submission came in."""

    envelope: Envelope[Submission]


@dataclass(frozen=True)
class Judged:
    """Verification of a submission has a verdict."""

    verdict: Verdict


@dataclass(frozen=True)
class JudgingFailed:
    """Verification could not be carried out (Hub down, child died): to be tried again."""

    lease_id: str
    reason: str


@dataclass(frozen=True)
class Registered:
    """The verified bytes stand on the repo's main branch."""

    registration: Registration


@dataclass(frozen=True)
class Closed:
    """A rejected pull request is commented and closed."""

    lease_id: str


@dataclass(frozen=True)
class RouterTrained:
    """Router training ended."""

    ok: bool
    note: str


@dataclass(frozen=True)
class RouterWanted:
    """The organiser asked for router training by hand."""

    from_samples: bool = False
    """On rows that the experts drew, instead of data."""


Observation = Wanted | Beaten | Submitted | Judged | JudgingFailed | Registered | Closed | RouterTrained | RouterWanted


@dataclass(frozen=True)
class Verify:
    """Run the verification ladder on a submission."""

    lease_id: str


@dataclass(frozen=True)
class Register:
    """Copy an accepted submission onto main, pinned to the verified commit."""

    lease_id: str


@dataclass(frozen=True)
class Reject:
    """Comment, close and free a rejected pull request."""

    lease_id: str


@dataclass(frozen=True)
class TrainRouter:
    """Train the router."""

    from_samples: bool = False


Action = Verify | Register | Reject | TrainRouter
