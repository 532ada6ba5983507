"""When a unit's trainer stops for a pause or an early hand-in, and what is said meanwhile."""

from __future__ import annotations

import pytest
from legs import make_leg
from units import make_unit

from paris.node.control.wishes import Wishes
from paris.node.manners.pause import Pause
from paris.node.retry import StopSignal
from paris.node.work.holding import HandInDue, Hold, PauseDue
from paris.node.work.report import UnitReport
from paris.protocol.leases import is_overdue


class Clock:
    now = 10.0

    def __call__(self) -> float:
        return self.now


class Told:
    """Keeps what a report publishes and shows."""

    last_accepted_at = since_accepted_s = None

    def __init__(self) -> None:
        self.beats: list = []
        self.events: list = []

    def publish(self, payload, *, now=True) -> None:
        self.beats.append(payload)

    def event(self, kind, /, **fields) -> None:
        self.events.append((kind.value, fields))

    def of(self, kind: str) -> list:
        return [fields for name, fields in self.events if name == kind]


def progress(step: int, commitment_step: int = 0) -> dict:
    commitment = "c" * 64 if commitment_step else None
    figures = {"step": step, "loss": 0.5, "steps_per_s": 2.0, "note": ""}
    return {**figures, "commitment": commitment, "commitment_step": commitment_step}


def test_a_pause_is_told_with_its_reason_and_how_long_the_task_is_kept():
    clock, told, unit = Clock(), Told(), make_unit()
    reasons = iter([Pause("battery", "on battery")] * 2)
    report = UnitReport(told, told, unit)
    report.progress(progress(3))
    hold = Hold(Wishes(StopSignal(), lambda: next(reasons, None)), unit, report, clock)
    with pytest.raises(PauseDue):
        hold.check()
    hold.wait(lambda: None)
    assert [(beat.state, beat.pause_reason) for beat in told.beats] == [("training", None), ("paused", "battery")]
    (paused,) = told.of("paused")
    assert (paused["reason"], paused["why"]) == ("battery", "on battery")
    assert paused["text"].startswith("expert-0: paused at step 3: on battery. The task stays yours until ")
    # What is said is what the coordinator does.
    assert not is_overdue(unit.lease, unit.task, told.beats[-1], paused["kept_until"] - 0.01)
    assert is_overdue(unit.lease, unit.task, told.beats[-1], paused["kept_until"] + 0.01)
    assert len(told.of("resumed")) == 1


def test_before_the_task_goes_to_others_the_volunteer_is_warned_once():
    clock, told, unit = Clock(), Told(), make_unit()
    report = UnitReport(told, told, unit)
    wishes = Wishes(StopSignal())
    wishes.pause()
    times = iter([50.0, 60.0, 61.0, 62.0])

    def later() -> None:
        clock.now = next(times)
        if clock.now == 62.0:
            wishes.resume()

    # Of 10 s to 67.6 s: nothing of 10 steps is due before 6 + 0.6 s, and the grace is 60 s.
    Hold(wishes, unit, report, clock).wait(later)
    (warning,) = told.of("note")
    assert warning["text"].startswith("expert-0 goes to another volunteer if it is still paused at ")


def test_another_reason_to_pause_is_told_too():
    told, unit = Told(), make_unit()
    reasons = iter([Pause("battery", "on battery"), Pause("program", "blender runs"), Pause("program", "blender runs")])
    Hold(Wishes(StopSignal(), lambda: next(reasons, None)), unit, UnitReport(told, told, unit), Clock()).wait(
        lambda: None
    )
    assert [fields["reason"] for fields in told.of("paused")] == ["battery", "program"]
    assert len(told.of("resumed")) == 1


def test_without_a_reason_nothing_is_told():
    told, unit = Told(), make_unit()
    hold = Hold(Wishes(StopSignal()), unit, UnitReport(told, told, unit))
    hold.check()
    hold.wait(lambda: None)
    assert told.beats == told.events == []


def test_who_finishes_hands_a_leg_in_at_the_next_snapshot_and_not_before(tmp_path):
    told = Told()
    _, unit = make_leg(tmp_path / "unit", 0, 40)
    report, wishes = UnitReport(told, told, unit), Wishes(StopSignal())
    hold = Hold(wishes, unit, report)
    report.progress(progress(10, 10))
    hold.check()
    wishes.finish()
    hold.check()
    report.progress(progress(15, 10))
    hold.check()
    report.progress(progress(20, 20))
    with pytest.raises(HandInDue):
        hold.check()


def test_who_finishes_a_task_without_legs_trains_it_to_its_end():
    told, unit = Told(), make_unit()
    report, wishes = UnitReport(told, told, unit), Wishes(StopSignal())
    hold = Hold(wishes, unit, report)
    wishes.finish()
    hold.check()
    report.progress(progress(5, 5))
    hold.check()
