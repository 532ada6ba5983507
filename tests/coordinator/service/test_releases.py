"""A release that the organiser ordered: made by a child process, made again after a restart, its failure told."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from released_run import prepared_run
from test_ordering import RunOf
from test_service_loop import RouterJob, make_service, steps_until
from tick_world import START, lease_of, registration, run_of, step, submission, verdict, want

from paris.coordinator.children import Children
from paris.coordinator.errors import NotReadyError, WorkerError
from paris.coordinator.release.assemble import _require_router, release_run
from paris.coordinator.run.locks import hold_lock
from paris.coordinator.service.ordering import give_order
from paris.coordinator.service.releases import Releaser
from paris.coordinator.service.tasks import make_tasks
from paris.coordinator.state.model import ReleaseState, RouterState, State
from paris.coordinator.state.orders import WHOLE_RUN, Order, OrderKind
from paris.coordinator.state.store import Store


class ReleaseJob:
    """Makes a release when the test lets it."""

    def __init__(self, children) -> None:
        self.may_end, self.num_made, self._children = threading.Event(), 0, children

    def make(self, tell) -> str:
        tell("fetching expert 1 of 2")
        while not self.may_end.wait(0.01):
            if self._children is not None and self._children.is_stopping:
                raise WorkerError("It was ended.")
        self.num_made += 1
        return "release-1f0c9b7a52d3"


def test_a_release_goes_on_after_a_restart_and_tells_how_far_it_is(tmp_path):
    first = ReleaseJob(None)
    service, store, executor = make_service(tmp_path, RouterJob(), releaser=first)
    first._children = executor._children
    store.add_order(Order(OrderKind.RELEASE, WHOLE_RUN))
    steps_until(service, lambda: store.load().release.note == "fetching expert 1 of 2", "the first stage")
    executor.stop()
    store.close()
    second = ReleaseJob(None)
    service, store, executor = make_service(tmp_path, RouterJob(), releaser=second)
    assert store.load().release.phase == "making"
    service.step()
    second.may_end.set()
    steps_until(service, lambda: store.load().release.phase == "done", "the release after the restart")
    assert (first.num_made, second.num_made) == (0, 1)
    assert store.load().release.note == "release-1f0c9b7a52d3"
    assert [event.text for event in store.events()] == [
        "A release is being made.",
        "The model is released as release-1f0c9b7a52d3.",
    ]
    executor.stop()
    store.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two tasks, none of which is registered."""
    made = prepared_run(tmp_path_factory.mktemp("release"))
    store = Store(made.state)
    tasks = {task.task.task_id: task for task in make_tasks(made)}
    store.save(State(), State(tasks=tasks), [], 0.0)
    store.close()
    return made


def test_the_process_that_makes_it_says_what_is_missing(run, tmp_path):
    children, told = Children(tmp_path / "logs"), []
    try:
        with pytest.raises(WorkerError, match=r"Not registered yet: expert-0, expert-1\. See paris-coord status"):
            Releaser(run, children).make(told.append)
    finally:
        children.stop()
    assert len(told) == 1, "no stage was reached"


def test_a_release_is_refused_while_another_is_being_made(run):
    with (
        hold_lock(run.path / "release.lock", RuntimeError()),
        pytest.raises(NotReadyError, match="Another release of this run"),
    ):
        release_run(run, None, print)


@pytest.mark.parametrize(
    ("phase", "why"), [("waiting", "not trained yet"), ("done", r"is not in .*router\. Copy that folder")]
)
def test_a_router_that_another_machine_trained_is_not_called_untrained(run, phase, why):
    with pytest.raises(NotReadyError, match=why):
        _require_router(run, State(router=RouterState(phase=phase)))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"tasks": run_of(2).tasks}, "Not registered yet: expert-0, expert-1."),
        ({"router": RouterState(phase="training")}, "The router is being trained"),
        ({"release": ReleaseState(phase="making")}, "A release is being made already."),
    ],
)
def test_an_order_of_a_release_waits_for_experts_router_and_the_release_before(tmp_path, changed, why):
    leased = step(run_of(1), START, want(0, START)).state
    lease = lease_of(leased)
    whole = step(leased, START + 1, submission(lease, 0, START + 1), verdict(lease, True), registration(lease)).state
    store = Store(tmp_path / "state.sqlite")
    store.save(State(), whole, [], START)
    assert give_order(RunOf(tmp_path), OrderKind.RELEASE, WHOLE_RUN).kind is OrderKind.RELEASE
    store.save(whole, replace(whole, **changed), [], START)
    with pytest.raises(NotReadyError, match=why):
        give_order(RunOf(tmp_path), OrderKind.RELEASE, WHOLE_RUN)
    assert len(store.orders()) == 1
    store.close()
