"""What a state's times become when the clock that took them moves. Pure, like `tick`.

A coordinator may start while the machine's clock is wrong. When the clock is corrected, the times that this service
took move with it. Times of an earlier service stay: another clock took them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from paris.coordinator.state.audits import AuditState
from paris.coordinator.state.model import LeaseState, State, SubmissionState, VolunteerState
from paris.coordinator.state.row import Row

R = TypeVar("R", bound=Row)
_Change = Callable[[Any, Any, str], float]
"""The new value of a time, from the row, the same row at the start of the service or None, and the field's name."""


def moved(state: State, at_start: State, by_s: float) -> State:
    """The state after the clock moved.

    Args:
        state: Its times are by the clock before the move.
        at_start: What an earlier service left; times that are still the same were not taken by this clock.
        by_s: How much later the clock is now, seconds; 0.0 returns the state itself.
    """

    def change(row: Any, before: Any, name: str) -> float:
        time: float = getattr(row, name)
        return time if before is not None and time == getattr(before, name) else time + by_s

    return state if by_s == 0.0 else _with_times(state, at_start, change)


def without_future(state: State, now: float, lease_s: float) -> State:
    """The state of an earlier service, whose clock may have been ahead, with no time later than this clock allows.

    Args:
        state: As it was loaded.
        now: UTC seconds.
        lease_s: Life of a lease, which none but an audit's exceeds.
    """

    def change(row: Any, before: Any, name: str) -> float:
        if name == "answer_until":
            return float(row.answer_until)  # a late one does no harm
        latest = now
        if name == "expires_at":
            latest += lease_s if row.audit is None else row.expires_at - row.granted_at
        return min(float(getattr(row, name)), latest)

    return _with_times(state, state, change)


def _with_times(state: State, at_start: State, change: _Change) -> State:
    return replace(
        state,
        leases=_each(state.leases, at_start.leases, _lease, change),
        volunteers=_each(state.volunteers, at_start.volunteers, _volunteer, change),
        submissions=_each(state.submissions, at_start.submissions, _submission, change),
        audits=_each(state.audits, at_start.audits, _audit, change),
    )


def _each(
    rows: Mapping[str, R], at_start: Mapping[str, R], changed: Callable[[R, R | None, _Change], R], change: _Change
) -> dict[str, R]:
    return {row_id: changed(row, at_start.get(row_id), change) for row_id, row in rows.items()}


def _changed(row: Any, before: Any, change: _Change, names: tuple[str, ...]) -> Any:
    """The row with these times changed; the row itself where none differs, so that it is not written again."""
    times = {name: change(row, before, name) for name in names if getattr(row, name)}  # 0.0 and None are no times
    times = {name: time for name, time in times.items() if time != getattr(row, name)}
    return row.model_copy(update=times) if times else row


def _lease(held: LeaseState, before: LeaseState | None, change: _Change) -> LeaseState:
    lease = _changed(held.lease, before and before.lease, change, ("granted_at", "expires_at"))
    kept = held if lease is held.lease else held.model_copy(update={"lease": lease})
    return _changed(kept, before, change, ("heartbeat_at",))  # type: ignore[no-any-return]


def _volunteer(known: VolunteerState, before: VolunteerState | None, change: _Change) -> VolunteerState:
    return _changed(known, before, change, ("seen_at", "waiting_since", "faulted_at", "copied_at"))  # type: ignore[no-any-return]


def _submission(known: SubmissionState, before: SubmissionState | None, change: _Change) -> SubmissionState:
    asked = known.challenge and _changed(known.challenge, before and before.challenge, change, ("answer_until",))
    open_audit = known.audit and _changed(known.audit, before and before.audit, change, ("opened_at", "drawn_at"))
    is_same = asked is known.challenge and open_audit is known.audit
    kept = known if is_same else known.model_copy(update={"challenge": asked, "audit": open_audit})
    return _changed(kept, before, change, ("seen_at", "retry_at", "stored_at", "withdrawn_at"))  # type: ignore[no-any-return]


def _audit(audit: AuditState, before: AuditState | None, change: _Change) -> AuditState:
    return _changed(audit, before, change, ("granted_at",))  # type: ignore[no-any-return]
