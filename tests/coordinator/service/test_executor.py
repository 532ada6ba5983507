"""Actions are carried out once at a time, and again after a while when they fail."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from deadlines import DEADLINE_S

from paris.coordinator.decisions.observations import (
    AverageLanes,
    Close,
    Closed,
    NotRechecked,
    Recheck,
    Rechecked,
    Register,
    RouterTrained,
    TrainRouter,
    VerificationFailed,
    Verify,
)
from paris.coordinator.errors import (
    HubError,
    NotOnHubError,
    NotTrainableAgainError,
    VerificationCrashError,
    WorkerError,
)
from paris.coordinator.service.executor import MOST_MEAN_TRIES, Executor, Workers
from paris.coordinator.state.model import State


class RouterTraining:
    """A training that ends when the test says so."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.outcome: str | Exception = "trained"
        self.may_end = threading.Event()

    def train(self, *, from_samples: bool) -> str:
        self.calls.append("train from samples" if from_samples else "train")
        assert self.may_end.wait(DEADLINE_S)
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
    workers = Workers(
        verifier=None,
        registrar=None,
        lane_means=None,
        router=work,
        releaser=None,
        model_repo=None,
        grids=None,
    )
    executor = Executor(
        workers, SimpleNamespace(is_stopping=False, stop=lambda: None), lambda text: None, clock=lambda: clock.now
    )
    yield executor
    work.may_end.set()
    executor.stop()


def ended(executor: Executor) -> list[object]:
    found: list[object] = []
    wait_until(lambda: found.extend(executor.results()) or found)
    return found


def wait_until(condition: Callable[[], object]) -> None:
    pause = threading.Event()
    for _ in range(6000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("nothing ended within 60 s")


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


@pytest.mark.parametrize(("failures", "wait_s"), [(1, 2), (2, 4), (3, 8), (9, 512), (10, 600), (12, 600)])
@pytest.mark.parametrize("is_over", [False, True])
def test_what_failed_is_left_alone_for_a_while_and_longer_each_time(executor, work, clock, failures, wait_s, is_over):
    work.outcome = WorkerError("no memory")
    work.may_end.set()
    for _ in range(failures):
        clock.now += 1000
        executor.start((TrainRouter(),), State())
        assert ended(executor) == [RouterTrained(False, "no memory")]
    clock.now += wait_s + (0.1 if is_over else -0.1)
    executor.start((TrainRouter(),), State())
    assert bool(executor._in_flight) == is_over


@pytest.mark.parametrize(
    ("error", "waits"),
    [(HubError("down"), [2, 4]), (WorkerError("no memory"), [2, 4]), (VerificationCrashError("odd"), [None, None])],
)
def test_only_a_verification_that_breaks_down_counts_against_the_submission(executor, clock, error, waits):
    def verify(state: State, lease_id: str) -> None:
        raise error

    executor._workers.verifier = SimpleNamespace(verify=verify)
    for wait_s in waits:
        clock.now += 1000
        executor.start((Verify("a" * 32),), State())
        assert ended(executor) == [VerificationFailed("a" * 32, str(error), wait_s)]


def test_a_mean_that_failed_often_is_tried_without_the_lanes_that_are_lost(executor, clock):
    asked = []

    def store(state: State, action: AverageLanes, *, leaves_out: bool) -> None:
        asked.append(leaves_out)
        raise NotOnHubError("gone")

    executor._workers.lane_means = SimpleNamespace(store=store)
    action = AverageLanes("expert-0", 200, ("a" * 32, "b" * 32))
    for _ in range(MOST_MEAN_TRIES + 1):
        clock.now += 1000
        executor.start((action,), State())
        wait_until(lambda: not executor._ended.empty())
        executor.results()
    assert asked == [False] * MOST_MEAN_TRIES + [True]


def test_a_success_ends_the_row_of_failures(executor, work, clock):
    work.may_end.set()
    for outcome in (WorkerError("no memory"), WorkerError("no memory"), "trained", WorkerError("no memory")):
        work.outcome = outcome
        clock.now += 1000
        executor.start((TrainRouter(),), State())
        ended(executor)
    clock.now += 2.1
    executor.start((TrainRouter(),), State())
    assert ended(executor) == [RouterTrained(False, "no memory")]


def test_a_leg_that_is_trained_again_holds_up_nothing_else(executor, clock):
    """Rechecks take hours: one runs at a time, beside all that volunteers wait for."""
    may_end, begun, closed = threading.Event(), [], threading.Event()

    def recheck(state: State, lease_id: str) -> SimpleNamespace:
        begun.append(lease_id)
        assert may_end.wait(DEADLINE_S)
        return SimpleNamespace(needs=(), audit=None, accepted=True, reason="ok", votes=())

    executor._workers.verifier = SimpleNamespace(recheck=recheck, discard_candidate=lambda lease_id: closed.set())
    executor._workers.registrar = SimpleNamespace(close=lambda state, lease_id: None)
    legs = ["a" * 32, "b" * 32, "c" * 32, "d" * 32]
    executor.start(tuple(map(Recheck, legs)), State())
    executor.start((Close("e" * 32),), State())
    assert closed.wait(DEADLINE_S)
    assert ended(executor) == [Closed("e" * 32)]
    assert set(begun) <= set(legs[:1])
    may_end.set()
    found: list[object] = []
    while len(found) < 4:
        found += ended(executor)
    assert found == [Rechecked(leg, True, "ok") for leg in legs]


def test_a_recheck_without_its_files_is_no_refusal(executor):
    needing = SimpleNamespace(needs=(0, 200), audit=None, accepted=False, reason="needed", votes=())
    executor._workers.verifier = SimpleNamespace(recheck=lambda state, lease_id: needing)
    executor.start((Recheck("a" * 32),), State())
    assert ended(executor) == [NotRechecked("a" * 32, "the state at steps 0 and 200 is gone")]


@pytest.mark.parametrize(
    ("error", "observation"),
    [
        (HubError("down"), VerificationFailed("a" * 32, "down", 2.0)),
        (VerificationCrashError("odd"), VerificationFailed("a" * 32, "odd", None)),
        (NotTrainableAgainError("chain.json is gone."), NotRechecked("a" * 32, "chain.json is gone.")),
    ],
)
def test_a_recheck_that_fails_is_reported(executor, error, observation):
    def recheck(state: State, lease_id: str) -> None:
        raise error

    executor._workers.verifier = SimpleNamespace(recheck=recheck)
    executor.start((Recheck("a" * 32),), State())
    assert ended(executor) == [observation]


class Copies:
    """A registrar that notes how many copies run at the same time, and holds each until another wants to begin."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running = self.most = self.done = 0
        self.second = threading.Event()

    def register(self, state: State, lease_id: str) -> str:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
            if self.running == 2:
                self.second.set()
        # Without the executor's lock the second copy comes at once; with it this wait ends by time.
        self.second.wait(0.3)
        with self.lock:
            self.running -= 1
            self.done += 1
        return lease_id

    def reject(self, state: State, lease_id: str) -> None:
        raise WorkerError("the Hub is down")


@pytest.fixture
def copies(executor):
    executor._workers.registrar = Copies()
    return executor._workers.registrar


def test_copies_onto_main_come_one_at_a_time(executor, copies):
    executor.start((Register("a" * 32), Register("b" * 32)), State())
    found: list[object] = []
    while len(found) < 2:
        found += ended(executor)
    assert (copies.most, copies.done) == (1, 2)
    assert {observation.registration for observation in found} == {"a" * 32, "b" * 32}


def test_a_failed_action_of_the_hub_has_no_result_and_may_be_started_again_later(executor, copies, clock):
    executor.start((Close("a" * 32),), State())
    wait_until(lambda: not executor._ended.empty())
    assert executor.results() == []
    executor.start((Close("a" * 32),), State())
    assert executor._in_flight == set()
    clock.now += 3
    executor.start((Close("a" * 32),), State())
    assert executor._in_flight == {Close("a" * 32)}


def test_a_failure_of_another_kind_than_ours_is_a_result_too(executor, work):
    work.outcome = ZeroDivisionError("oops")
    work.may_end.set()
    executor.start((TrainRouter(),), State())
    assert ended(executor) == [RouterTrained(False, "unexpected ZeroDivisionError: oops")]
