"""What a machine's work was credited with, from the verdicts in its home."""

from __future__ import annotations

import pytest
from legs import make_leg
from units import make_unit

from paris.node.machine.credits import credits_of
from paris.protocol.work_records import Verdict


def judged(path, attempt: int, *, accepted: bool = True, steps: int | None = None, seconds: float | None = None):
    folder, unit = make_leg(path / str(attempt), 0, 20, attempt=attempt)
    verdict = Verdict(
        lease_id=unit.lease.lease_id,
        task_id=unit.task.task_id,
        attempt=attempt,
        volunteer="a" * 64,
        accepted=accepted,
        reason="",
        rungs=(),
        credit_steps=steps,
        credit_s=seconds,
    )
    return folder, unit.model_copy(update={"verdict": verdict})


def test_verified_steps_and_hours_are_added_up_and_rejected_work_counts_for_nothing(tmp_path):
    units = [
        judged(tmp_path, 1, steps=20, seconds=1800.0),
        judged(tmp_path, 2, steps=10, seconds=3600.0),
        judged(tmp_path, 3, accepted=False, steps=20, seconds=9000.0),
        make_leg(tmp_path / "open", 20, 40, attempt=4),
    ]
    found = credits_of(make_unit().run_id, units)
    assert (found.accepted, found.steps, found.hours) == (2, 30, pytest.approx(1.5))
    assert found.as_json() == {"run_id": found.run_id, "accepted": 2, "steps": 30, "hours": found.hours}
    assert found.in_words() == f"{make_unit().run_id}  2 accepted  30 steps  1.5 hours"


def test_an_accepted_task_of_a_run_without_legs_counts_whole(tmp_path):
    assert credits_of("run", [judged(tmp_path, 1)]).steps == 40
