"""The next state in the making: what one tick changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from paris.coordinator.state.audits import AuditState
from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.indexes import hand_on, indexes_of
from paris.coordinator.state.model import (
    LeaseState,
    PauseState,
    ReleaseState,
    RouterState,
    StandingState,
    State,
    SubmissionState,
    TaskState,
    VolunteerState,
    WithdrawnInvite,
)

R = TypeVar("R")


class Draft:
    """A mutable copy of a state. The state itself is never changed.

    A table is copied at its first change and no other time, so that n changes cost n steps, not n copies.

    Args:
        state: Where to start from.
    """

    def __init__(self, state: State) -> None:
        self._tasks, self._leases = _Table(state.tasks), _Table(state.leases)
        self._volunteers, self._submissions = _Table(state.volunteers), _Table(state.submissions)
        self._standings, self._audits = _Table(state.standings), _Table(state.audits)
        self._withdrawn_invites = _Table(state.withdrawn_invites)
        self.router: RouterState = state.router
        self.release: ReleaseState = state.release
        self.pause: PauseState = state.pause
        self.events: list[Event] = []
        self.indexes = indexes_of(state).copy()

    @property
    def tasks(self) -> Mapping[str, TaskState]:
        """By task id."""
        return self._tasks.rows

    @property
    def leases(self) -> Mapping[str, LeaseState]:
        """By lease id."""
        return self._leases.rows

    @property
    def volunteers(self) -> Mapping[str, VolunteerState]:
        """By public key."""
        return self._volunteers.rows

    @property
    def submissions(self) -> Mapping[str, SubmissionState]:
        """By lease id."""
        return self._submissions.rows

    @property
    def standings(self) -> Mapping[str, StandingState]:
        """By public key."""
        return self._standings.rows

    @property
    def audits(self) -> Mapping[str, AuditState]:
        """By lease id of the auditor."""
        return self._audits.rows

    @property
    def withdrawn_invites(self) -> Mapping[str, WithdrawnInvite]:
        """By invite id."""
        return self._withdrawn_invites.rows

    def put_task(self, task: TaskState) -> None:
        """Add or replace a task."""
        self._tasks.put(task.task.task_id, task)

    def put_lease(self, lease: LeaseState) -> None:
        """Add or replace a lease."""
        lease_id = lease.lease.lease_id
        self._leases.put(lease_id, lease)
        self.indexes.put_lease(lease, lease_id in self.submissions)

    def put_volunteer(self, volunteer: VolunteerState) -> None:
        """Add or replace a volunteer."""
        self._volunteers.put(volunteer.public_key, volunteer)

    def put_audit(self, audit: AuditState) -> None:
        """Add or replace an audit."""
        self._audits.put(audit.lease_id, audit)
        self.indexes.put_audit(audit)

    def drop_lease(self, lease_id: str) -> None:
        """Remove a lease."""
        self.indexes.drop_lease(self.leases[lease_id])
        self._leases.drop(lease_id)

    def drop_volunteer(self, public_key: str) -> None:
        """Remove a volunteer."""
        self._volunteers.drop(public_key)

    def put_standing(self, standing: StandingState) -> None:
        """Add or replace what the organiser decided about a volunteer."""
        self._standings.put(standing.public_key, standing)

    def drop_standing(self, public_key: str) -> None:
        """Remove what the organiser decided about a volunteer."""
        self._standings.drop(public_key)

    def withdraw_invite(self, withdrawn: WithdrawnInvite) -> None:
        """Add a withdrawn invite."""
        self._withdrawn_invites.put(withdrawn.invite_id, withdrawn)

    def restore_invite(self, invite_id: str) -> None:
        """Remove a withdrawn invite."""
        self._withdrawn_invites.drop(invite_id)

    def put_submission(self, submission: SubmissionState) -> None:
        """Add or replace a submission."""
        self._submissions.put(submission.submission.lease_id, submission)
        self.indexes.put_submission(submission)

    def add_event(self, kind: EventKind, text: str) -> None:
        """Add a line to the event log."""
        self.events.append(Event(kind, text))

    def finish(self) -> State:
        """The new state; it shares each unchanged table with the first. The draft must not change any more."""
        state = State(
            tasks=self.tasks,
            leases=self.leases,
            volunteers=self.volunteers,
            submissions=self.submissions,
            router=self.router,
            release=self.release,
            standings=self.standings,
            pause=self.pause,
            audits=self.audits,
            withdrawn_invites=self.withdrawn_invites,
        )
        hand_on(state, self.indexes)
        return state


class _Table(Generic[R]):
    """Rows that are copied before the first change."""

    def __init__(self, rows: Mapping[str, R]) -> None:
        self.rows = rows
        self._own: dict[str, R] | None = None

    def put(self, row_id: str, row: R) -> None:
        self._writable()[row_id] = row

    def drop(self, row_id: str) -> None:
        del self._writable()[row_id]

    def _writable(self) -> dict[str, R]:
        if self._own is None:
            self.rows = self._own = dict(self.rows)
        return self._own
