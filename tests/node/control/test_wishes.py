"""What the volunteer asks for, and when it ends."""

from __future__ import annotations

from paris.node.control.wishes import Wishes
from paris.node.manners.pause import Pause
from paris.node.retry import StopSignal

BATTERY = Pause("battery", "on battery")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_pause_for_a_time_ends_by_itself():
    clock = Clock()
    wishes = Wishes(StopSignal(), clock=clock)
    wishes.pause(until=1060.0)
    clock.now = 1059.0
    assert wishes.why_paused().until == 1060.0
    clock.now = 1060.0
    assert wishes.why_paused() is None


def test_resume_ends_what_was_asked_for_and_not_what_the_settings_want():
    wishes = Wishes(StopSignal(), lambda: BATTERY)
    wishes.pause()
    assert wishes.why_paused().reason == "asked"
    wishes.resume()
    assert wishes.why_paused() == BATTERY


def test_who_finishes_does_not_stay_paused():
    wishes = Wishes(StopSignal())
    wishes.pause()
    wishes.finish()
    assert wishes.why_paused() is None
    assert not wishes.stop.is_set


def test_who_leaves_stops_every_wait():
    wishes = Wishes(StopSignal())
    wishes.leave()
    assert wishes.stop.wait(0)
