"""Which verdicts one volunteer is told of many: those on its last work, and the one that it asks for."""

from __future__ import annotations

from tick_world import submission, verdict

from paris.coordinator.service.told import Told
from paris.coordinator.service.ways import Shown
from paris.coordinator.state.model import State, SubmissionState
from paris.protocol.work_records import Lease, Verdict

ADA = "a" * 64


def judged(task: int, attempt: int, seen_at: float) -> SubmissionState:
    """Accepted work of one lease."""
    lease = Lease(
        lease_id=f"{task:016x}{attempt:016x}",
        task_id=f"expert-{task}",
        attempt=attempt,
        volunteer=ADA,
        granted_at=seen_at - 10.0,
        expires_at=seen_at + 900.0,
        draw_sha256="0" * 64,
    )
    work = submission(lease, 0, seen_at).envelope.payload
    accepted = verdict(lease, True).verdict
    return SubmissionState(submission=work, signer=ADA, envelope="", seen_at=seen_at, phase="stored", verdict=accepted)


def told_of(work: list[SubmissionState], lease_id: str | None = None) -> list[str]:
    """Leases of the verdicts told; records come in the order of tasks, as they are published."""
    state = State(submissions={one.submission.lease_id: one for one in work})
    told = Told(Shown([one.verdict for one in work], state), 240.0, 5000.0)
    return [record.lease_id for record in told.to(ADA, lease_id=lease_id) if isinstance(record, Verdict)]


def test_the_last_verdicts_told_are_those_on_the_last_work_whatever_the_order_of_tasks():
    newest, *older = work = [judged(3, 2, 4000.0), *(judged(7, attempt, 1000.0 + attempt) for attempt in range(1, 8))]
    assert told_of(work) == [one.submission.lease_id for one in [*older[-5:], newest]]


def test_the_verdict_that_a_volunteer_waits_for_is_told_however_old():
    work = [judged(7, attempt, 1000.0 + attempt) for attempt in range(1, 9)]
    oldest = work[0].submission.lease_id
    assert oldest not in told_of(work)
    assert oldest in told_of(work, oldest)
    assert len(told_of(work, oldest)) == 6
