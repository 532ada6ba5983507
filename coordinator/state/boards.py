"""The board: what a state looks like to people. Pure: the log of events is folded into one, too (`changes.py`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from paris.coordinator.state.credits import Credit, changed_credits, credit_of, credits_of
from paris.coordinator.state.indexes import indexes_of
from paris.coordinator.state.model import State, TaskState, VolunteerState
from paris.protocol.lanes import expert_of, lane_of


@dataclass(frozen=True)
class BoardRow:
    """A task."""

    task_id: str
    cluster: int
    state: str
    """Of the task."""
    phase: str
    """Of the last heartbeat; empty without one."""
    attempt: int
    volunteer: str
    """Name of the volunteer that holds it, or made its expert."""
    step: int
    verified_step: int
    steps: int
    loss: float | None
    num_others: int = 0
    """Further volunteers that hold parallel leases of it."""

    @property
    def holders(self) -> str:
        """Who works on it, for people: "ada and 2 others"; "2 volunteers" where the latest gave it back."""
        if self.num_others == 0:
            return self.volunteer
        what = "other" if self.volunteer else "volunteer"
        number = f"{self.num_others} {what}{'' if self.num_others == 1 else 's'}"
        return f"{self.volunteer} and {number}" if self.volunteer else number


@dataclass(frozen=True)
class VolunteerRow:
    """A volunteer that the run knows, and what came of its leases."""

    name: str
    accepted: int
    rejected: int
    revoked: int


@dataclass(frozen=True)
class CreditRow:
    """What a volunteer's work is worth, as `Credit`."""

    name: str
    steps: int
    repeated_steps: int
    audited_steps: int


@dataclass(frozen=True)
class RunRow:
    """The run as a whole."""

    is_paused: bool
    router: str
    """Phase of the router's training."""


@dataclass(frozen=True)
class Board:
    """A state as people see it, without what changes at each heartbeat of a volunteer that waits."""

    tasks: Mapping[str, BoardRow] = field(default_factory=dict)
    """By task id, without further lanes of registered experts."""
    volunteers: Mapping[str, VolunteerRow] = field(default_factory=dict)
    """By public key."""
    credits: Mapping[str, CreditRow] = field(default_factory=dict)
    """By public key."""
    run: Mapping[str, RunRow] = field(default_factory=dict)
    """One row, by the name "run"; none before the first event."""


def board_of(state: State) -> Board:
    """The board of a state."""
    return Board(
        tasks=_task_rows(state),
        volunteers={key: _volunteer_row(known) for key, known in state.volunteers.items()},
        credits={credit.public_key: _credit_row(credit) for credit in credits_of(state)},
        run={"run": RunRow(state.pause.is_paused, state.router.phase)},
    )


def board_after(before: Board, old: State, new: State) -> Board:
    """The board of a state that follows another one: of volunteers and credits only what changed is made anew.

    Args:
        before: The board of `old`.
        old: The state before.
        new: The state.
    """
    volunteers, credits = dict(before.volunteers), dict(before.credits)
    for key in _changed_keys(old.volunteers, new.volunteers):
        known = new.volunteers.get(key)
        row = None if known is None else _volunteer_row(known)
        if row is None:
            volunteers.pop(key, None)
        elif volunteers.get(key) != row:
            volunteers[key] = row
    for key in changed_credits(old, new):
        credit = credit_of(new, key)
        if credit is None:
            credits.pop(key, None)
        else:
            credits[key] = _credit_row(credit)
    run = {"run": RunRow(new.pause.is_paused, new.router.phase)}
    return Board(tasks=_task_rows(new), volunteers=volunteers, credits=credits, run=run)


def _changed_keys(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    if old is new:
        return []
    return [key for key, row in new.items() if old.get(key) is not row] + [key for key in old if key not in new]


def _task_rows(state: State) -> dict[str, BoardRow]:
    others = num_others(state)
    return {task.task.task_id: board_row(state, task, others[task.task.task_id]) for task in shown_tasks(state)}


def _volunteer_row(known: VolunteerState) -> VolunteerRow:
    return VolunteerRow(known.want.name, known.num_accepted, known.num_rejected, known.num_revoked)


def _credit_row(credit: Credit) -> CreditRow:
    return CreditRow(credit.name, credit.steps, credit.repeated_steps, credit.audited_steps)


def shown_tasks(state: State) -> list[TaskState]:
    """The tasks in the order of their clusters; further lanes of an expert until it is registered."""
    done = {task_id for task_id, task in state.experts.items() if task.registration is not None}
    shown = [task for task_id, task in state.tasks.items() if lane_of(task_id) == 0 or expert_of(task_id) not in done]
    return sorted(shown, key=lambda task: (task.task.cluster, lane_of(task.task.task_id)))


def num_others(state: State) -> Counter[str]:
    """By task: the leases that are worked on beside the present one."""
    is_open = indexes_of(state).open_leases
    return Counter(
        {
            task_id: sum(lease_id != task.lease_id for lease_id in is_open.of(task_id))
            for task_id, task in state.tasks.items()
        }
    )


def board_row(state: State, task: TaskState, others: int) -> BoardRow:
    """A task with its present lease and last heartbeat.

    Args:
        state: The state.
        task: Of the state.
        others: As `num_others` counts them.
    """
    held = state.leases.get(task.lease_id or "")
    beat = None if held is None else held.heartbeat
    volunteer = None if held is None else state.volunteers.get(held.lease.volunteer)
    registration = task.registration
    verified = _verified_step(task)
    name = volunteer.want.name if volunteer is not None else registration.volunteer_name if registration else ""
    return BoardRow(
        task_id=task.task.task_id,
        cluster=task.task.cluster,
        state="waiting" if task.is_waiting else task.task.state,
        phase="" if beat is None else beat.state,
        attempt=task.task.attempt,
        volunteer=name,
        step=verified if beat is None else beat.step,
        verified_step=verified,
        steps=task.task.steps,
        loss=None if beat is None else beat.loss,
        num_others=0 if registration is not None else others,
    )


def _verified_step(task: TaskState) -> int:
    """The last step of verified work: of the registered expert, or of a leg."""
    if task.registration is not None:
        return task.registration.steps
    return 0 if task.task.head is None else task.task.head.step
