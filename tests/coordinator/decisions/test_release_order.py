"""An ordered release is made once at a time, tells how far it is, and ends in the log, whatever comes of it."""

from __future__ import annotations

import pytest
from tick_world import START, run_of, step

from paris.coordinator.decisions.observations import MakeRelease, ReleaseEnded, ReleaseStage
from paris.coordinator.decisions.tick import Decision
from paris.coordinator.state.orders import WHOLE_RUN, Order, OrderKind

ORDERED = Order(OrderKind.RELEASE, WHOLE_RUN, "for the meeting")


def texts(decision: Decision) -> list[str]:
    return [event.text for event in decision.events]


def test_a_release_is_asked_for_until_it_has_ended_and_a_second_order_changes_nothing():
    first = step(run_of(1), START, ORDERED)
    assert first.state.release.phase == "making"
    assert texts(first) == ["A release is being made: for the meeting."]
    again = step(first.state, START + 1, ORDERED, ReleaseStage("uploading"))
    assert (again.state.release.note, texts(again)) == ("uploading", [])
    assert first.actions == again.actions == (MakeRelease(),)


@pytest.mark.parametrize(
    ("ended", "phase", "text"),
    [
        (ReleaseEnded(True, "release-1f0c9b7a52d3"), "done", "The model is released as release-1f0c9b7a52d3."),
        (ReleaseEnded(False, "The router is not trained yet."), "failed", "There is no release: The router is not"),
    ],
)
def test_a_release_that_has_ended_is_not_asked_for_again_and_can_be_ordered_again(ended, phase, text):
    state = step(run_of(1), START, ORDERED).state
    over = step(state, START + 1, ended, ReleaseStage("too late"))
    assert (over.state.release.phase, over.state.release.note) == (phase, ended.note)
    assert over.actions == ()
    assert texts(over)[0].startswith(text)
    assert step(over.state, START + 2, ended).events == ()
    assert step(over.state, START + 3, ORDERED).actions == (MakeRelease(),)
