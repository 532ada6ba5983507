"""Audits: what other volunteers are to train again, who does, and what came of it."""

from __future__ import annotations

from typing import Literal

from paris.coordinator.state.row import Row
from paris.protocol.audit_order import AuditStart
from paris.protocol.fields import Sha256
from paris.protocol.work_records import Audit

_VOTES_TO_REFUSE = 2


class AuditNeed(Row):
    """A stretch of a leg that another volunteer is to train again."""

    start_step: int
    end_step: int
    start: AuditStart | None
    """The state at its start; None: the initial weights."""


class Bait(AuditNeed):
    """An audit of a claim that is known to be wrong; it shows whether an auditor trains."""

    nonce: Sha256
    claim: dict[str, tuple[float, ...]]
    """The sketch of the wrong end, by part; of a task's last step the EMA alone."""
    right: dict[str, tuple[float, ...]] | None = None
    """The sketch of the end that the organiser's machine reached; None in a bait of an earlier version, which is not
    given out any more."""


class AuditVote(Row):
    """What one audit says of the claimed end of its stretch."""

    lease_id: str
    """Of the auditor."""
    agrees: bool
    is_true: bool | None = None
    """Whether the auditor's end is that of the organiser's machine; None: that did not train the stretch."""
    distance: float
    moments: float
    note: str


def settled(agreeing: int, against: int) -> bool | None:
    """Whether the auditors of a stretch pass it; None: another one is to be asked.

    One that agrees is enough. One that does not is no proof: it may be the cheat, or may have saved itself the work. So
    may two have: the organiser's machine trains a stretch that they do not pass.

    Args:
        agreeing: Votes for the claimed end.
        against: Other votes.
    """
    if agreeing == against or (not agreeing and against < _VOTES_TO_REFUSE):
        return None
    return agreeing > against


class OpenAudit(AuditNeed):
    """What a submission waits for."""

    opened_at: float
    """UTC seconds."""
    drawn: str | None = None
    """The key that the lot fell on; its volunteer gets the audit when it asks for work."""
    drawn_at: float = 0.0
    """UTC seconds."""
    round: int = 0
    """How many lots were drawn."""


AuditOutcome = Literal["waiting", "arrived", "right", "wrong", "unused", "lost", "void"]


class AuditState(Row):
    """One auditor's audit.

    waiting -> arrived -> right or wrong, as the majority decides, or unused where the work was settled otherwise;
    waiting -> lost where none came; void where it was not needed any more, or its volunteer is not believed.
    """

    lease_id: str
    """Of the auditor."""
    leg: str
    """Lease id of the judged work."""
    task_id: str
    volunteer: str
    name: str
    """The auditor's."""
    start_step: int
    end_step: int
    nonce: Sha256
    granted_at: float
    """UTC seconds."""
    bait: Bait | None = None
    outcome: AuditOutcome = "waiting"
    result: Audit | None = None
    """Until the work is judged."""

    @property
    def num_steps(self) -> int:
        """Steps that the auditor trains."""
        return self.end_step - self.start_step

    def ended(self, outcome: AuditOutcome) -> AuditState:
        """The audit with its last outcome; what was returned is not needed any more."""
        return self.model_copy(update={"outcome": outcome, "result": None})
