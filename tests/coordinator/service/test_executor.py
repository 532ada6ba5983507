"""Actions are carried out once at a time, and again after a while when they fail."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from paris.coordinator.decisions.observations import RouterTrained, TrainRouter
from paris.coordinator.errors import WorkerError
from paris.coordinator.service.executor import Executor
from paris.coordinator.state.model import State


class RouterTraining:
    """A training that ends when the test says so."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.outcome: str | Exception = "trained"
        self.may_end = threading.Event()

    def train(self, *, from_samples: bool) -> str:
        self.calls.append("train from samples" if from_samples else "train")
        assert self.may_end.wait(10)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
def work():
    return RouterTraining()


@pytest.fixture
def clock():
    return SimpleNamespace(now=1000.0)


@pytest.fixture
def executor(work, clock):
    executor = Executor(
        verifier=None,
        registrar=None,
        router=work,
        children=SimpleNamespace(is_stopping=False, stop=lambda: None),
        log=lambda text: None,
        clock=lambda: clock.now,
    )
    yield executor
    work.may_end.set()
    executor.stop()


def ended(executor: Executor) -> list[object]:
    found: list[object] = []
    deadline = threading.Event()
    for _ in range(1000):
        found = executor.results()
        if found:
            return found
        deadline.wait(0.01)
    raise AssertionError("nothing ended within 10 s")


def test_what_is_under_way_is_not_started_again_until_its_result_was_read(executor, work):
    for _ in range(3):
        executor.start((TrainRouter(),), State())
    work.may_end.set()
    executor.start((TrainRouter(),), State())
    assert ended(executor) == [RouterTrained(True, "trained")]
    assert work.calls == ["train"]
    executor.start((TrainRouter(from_samples=True),), State())
    ended(executor)
    assert work.calls == ["train", "train from samples"]


def test_what_failed_is_left_alone_for_a_while_and_longer_each_time(executor, work, clock):
    work.outcome = WorkerError("no memory")
    work.may_end.set()
    for wait_s in (2, 4, 8):
        executor.start((TrainRouter(),), State())
        assert ended(executor) == [RouterTrained(False, "no memory")]
        calls = len(work.calls)
        clock.now += wait_s - 0.1
        executor.start((TrainRouter(),), State())
        assert len(work.calls) == calls
        clock.now += 0.2


def test_a_failure_of_another_kind_than_ours_is_a_result_too(executor, work):
    work.outcome = ZeroDivisionError("oops")
    work.may_end.set()
    executor.start((TrainRouter(),), State())
    assert ended(executor) == [RouterTrained(False, "unexpected ZeroDivisionError: oops")]
