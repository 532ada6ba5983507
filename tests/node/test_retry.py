"""Back-off and its end: how long, how often, and what stops it."""

from __future__ import annotations

import random
import threading

import pytest
from deadlines import DEADLINE_S

from paris.node.errors import HubUnreachableError, StoppedError, TransientHubError
from paris.node.retry import Backoff, StopSignal, persist


class Rng(random.Random):
    """Draws what the test says."""

    def __init__(self, value: float) -> None:
        super().__init__(0)
        self.value = value

    def random(self) -> float:
        return self.value


@pytest.mark.parametrize(("drawn", "waits"), [(0.0, [0.25, 0.5, 1.0, 15.0]), (1.0, [0.5, 1.0, 2.0, 30.0])])
def test_a_wait_is_between_half_and_the_whole_of_a_doubling_up_to_its_cap(drawn, waits):
    backoff = Backoff(rng=Rng(drawn))
    assert [backoff.wait_s(n) for n in (1, 2, 3, 2_000)] == waits


def test_a_server_can_lengthen_a_wait_up_to_a_cap_and_never_shorten_it():
    backoff = Backoff(rng=Rng(1.0))
    assert [backoff.wait_s(3, asked) for asked in (None, 0.0, 1.0, 7.0, 299.0, 301.0)] == [2, 2, 2, 7, 299, 300]


def failing(times: int, waits: list[float | None] | None = None):
    calls = []

    def action() -> str:
        calls.append(1)
        if len(calls) <= times:
            raise TransientHubError(f"trouble {len(calls)}", retry_after_s=None if waits is None else waits.pop(0))
        return "done"

    return action


def test_a_trouble_that_passes_is_waited_out_and_each_wait_is_told():
    told, paused = [], []
    result = persist(
        failing(2, [None, 9.0]),
        pause=paused.append,
        backoff=Backoff(rng=Rng(1.0)),
        on_wait=lambda error, wait_s: told.append((error.what, wait_s)),
    )
    assert result == "done"
    assert paused == [0.5, 9.0]
    assert told == [("trouble 1", 0.5), ("trouble 2", 9.0)]


def test_tries_are_counted_to_the_last_one():
    paused = []
    assert persist(failing(2), pause=paused.append, backoff=Backoff(), max_tries=3) == "done"
    with pytest.raises(HubUnreachableError, match=r"3 tries failed\. Last: trouble 3"):
        persist(failing(3), pause=paused.append, backoff=Backoff(), max_tries=3)
    assert len(paused) == 4


def test_another_trouble_is_not_tried_again():
    def action() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        persist(action, pause=lambda wait_s: pytest.fail("waited"), backoff=Backoff())


def test_a_stop_ends_every_wait():
    stop = StopSignal()
    assert not stop.is_set
    assert not stop.wait(0)
    stop.pause(0)
    threading.Timer(0.01, stop.set).start()
    assert stop.wait(DEADLINE_S)
    assert stop.is_set
    with pytest.raises(StoppedError, match="Stopped"):
        stop.pause(60)
