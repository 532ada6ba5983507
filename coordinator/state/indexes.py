"""Which rows of a state belong together, so that a tick looks at those that matter and not at all there ever were.

A run keeps the submissions of its whole life, and their leases. The indexes are made once of a state's rows, and
carried on by each `Draft`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from paris.coordinator.state.audits import AuditState
from paris.coordinator.state.model import LeaseState, State, SubmissionState, TaskState
from paris.protocol.lanes import expert_of

_ALL = ""
"""The only group of an index that has one."""
_SETTLED = ("stored", "registered", "closed", "withdrawn")


class Groups:
    """Ids by group, in the order in which they came. A copy shares each group until that changes.

    Args:
        other: To copy; None: empty.
    """

    def __init__(self, other: Groups | None = None) -> None:
        self._groups: dict[str, dict[str, None]] = {} if other is None else dict(other._groups)
        self._own: set[str] = set()

    def of(self, group: str = _ALL) -> tuple[str, ...]:
        """The ids of a group."""
        return tuple(self._groups.get(group, ()))

    def has(self, row_id: str, group: str = _ALL) -> bool:
        """Whether an id is in a group."""
        return row_id in self._groups.get(group, ())

    def names(self) -> list[str]:
        """The groups that are not empty."""
        return [name for name, group in self._groups.items() if group]

    def ids(self) -> list[str]:
        """The ids of all groups."""
        return [row_id for group in self._groups.values() for row_id in group]

    def put(self, row_id: str, is_in: bool, group: str = _ALL) -> None:
        """Add an id to a group, or take it out."""
        if self.has(row_id, group) == is_in:
            return
        if group not in self._own:
            self._groups[group] = dict(self._groups.get(group, {}))
            self._own.add(group)
        if is_in:
            self._groups[group][row_id] = None
        else:
            del self._groups[group][row_id]


@dataclass(frozen=True)
class Indexes:
    """The indexes of one state."""

    unsettled: Groups = field(default_factory=Groups)
    """Submissions that wait for something: a verdict, an action, or a recheck."""
    of_expert: Groups = field(default_factory=Groups)
    """Submissions by expert, in all its lanes."""
    open_audits: Groups = field(default_factory=Groups)
    """Audits whose auditor is waited for, or that the verdict has not counted."""
    open_leases: Groups = field(default_factory=Groups)
    """Granted leases without a submission, by task; no audits."""
    unused_leases: Groups = field(default_factory=Groups)
    """All leases without a submission, by task; audits too."""
    of_task: Groups = field(default_factory=Groups)
    """Leases by task; no audits."""
    of_volunteer: Groups = field(default_factory=Groups)
    """Leases by volunteer; no audits."""
    of_signer: Groups = field(default_factory=Groups)
    """Submissions by volunteer."""
    of_auditor: Groups = field(default_factory=Groups)
    """Audits by volunteer."""

    def copy(self) -> Indexes:
        """For the next state."""
        return Indexes(**{name: Groups(groups) for name, groups in vars(self).items()})

    def put_submission(self, known: SubmissionState) -> None:
        """Note a submission that is new or has changed."""
        s = known.submission
        self.unsettled.put(s.lease_id, is_unsettled(known))
        self.of_expert.put(s.lease_id, True, expert_of(s.task_id))
        self.of_signer.put(s.lease_id, True, known.signer)
        self.open_leases.put(s.lease_id, False, s.task_id)
        self.unused_leases.put(s.lease_id, False, s.task_id)

    def put_lease(self, held: LeaseState, has_submission: bool) -> None:
        """Note a lease that is new or has changed."""
        lease, is_audit = held.lease, held.lease.audit is not None
        is_open = lease.state == "granted" and not has_submission and not is_audit
        self.open_leases.put(lease.lease_id, is_open, lease.task_id)
        self.unused_leases.put(lease.lease_id, not has_submission, lease.task_id)
        self.of_task.put(lease.lease_id, not is_audit, lease.task_id)
        self.of_volunteer.put(lease.lease_id, not is_audit, lease.volunteer)

    def drop_lease(self, held: LeaseState) -> None:
        """Forget a lease."""
        lease = held.lease
        for groups in (self.open_leases, self.unused_leases, self.of_task):
            groups.put(lease.lease_id, False, lease.task_id)
        self.of_volunteer.put(lease.lease_id, False, lease.volunteer)

    def put_audit(self, audit: AuditState) -> None:
        """Note an audit that is new or has changed."""
        self.open_audits.put(audit.lease_id, audit.outcome in ("waiting", "arrived"))
        self.of_auditor.put(audit.lease_id, True, audit.volunteer)


def is_unsettled(known: SubmissionState) -> bool:
    """Whether anything is still to be done about a submission."""
    return known.phase not in _SETTLED or known.recheck or known.audit is not None or known.challenge is not None


class Indexed(Protocol):
    """Rows with their indexes: a state in the making."""

    @property
    def tasks(self) -> Mapping[str, TaskState]:
        """By task id."""

    @property
    def leases(self) -> Mapping[str, LeaseState]:
        """By lease id."""

    @property
    def submissions(self) -> Mapping[str, SubmissionState]:
        """By lease id."""

    @property
    def audits(self) -> Mapping[str, AuditState]:
        """By lease id of the auditor."""

    @property
    def indexes(self) -> Indexes:
        """Of these rows."""


def indexes_of(state: State | Indexed) -> Indexes:
    """The indexes of a state; those of a `State` are made at the first call, unless a draft handed them on."""
    if not isinstance(state, State):
        return state.indexes
    indexes = getattr(state, "derived", None)
    if not isinstance(indexes, Indexes):
        indexes = Indexes()
        for held in state.leases.values():
            indexes.put_lease(held, held.lease.lease_id in state.submissions)
        for known in state.submissions.values():
            indexes.put_submission(known)
        for audit in state.audits.values():
            indexes.put_audit(audit)
        hand_on(state, indexes)
    return indexes


def hand_on(state: State, indexes: Indexes) -> None:
    """Keep the indexes of a state with it.

    Args:
        state: Has none yet.
        indexes: Of its rows.
    """
    object.__setattr__(state, "derived", indexes)


def unsettled(state: State | Indexed) -> list[SubmissionState]:
    """The submissions that wait for something."""
    return [state.submissions[lease_id] for lease_id in indexes_of(state).unsettled.of()]


def submissions_of(state: State | Indexed, task_id: str) -> list[SubmissionState]:
    """All submissions for a task's expert, in all its lanes."""
    return [state.submissions[lease_id] for lease_id in indexes_of(state).of_expert.of(expert_of(task_id))]


def open_audits(state: State | Indexed) -> list[AuditState]:
    """The audits whose auditor is waited for, or that the verdict has not counted."""
    return [state.audits[lease_id] for lease_id in indexes_of(state).open_audits.of()]
