"""Grids and the model repo: one of each at a time; no work waits for them, and their failures are few lines."""

from __future__ import annotations

import threading
from types import SimpleNamespace

from deadlines import DEADLINE_S
from test_executor import clock, ended, executor, wait_until, work  # noqa: F401 - fixtures

from paris.coordinator.decisions.observations import (
    Close,
    Closed,
    DrawGrid,
    Register,
    Registered,
    RouterTrained,
    TrainRouter,
    UpdateModelRepo,
)
from paris.coordinator.errors import HubError
from paris.coordinator.state.model import State


class Drawing:
    """Grids that are wanted one after the other, and drawn when the test says so."""

    def __init__(self) -> None:
        self.drawn: list[str] = []
        self.next = "a"
        self.may_end = threading.Event()

    def wanted(self, state: State) -> DrawGrid | None:
        return None if self.next in self.drawn else DrawGrid((self.next,), "")

    def draw(self, state: State) -> None:
        assert self.may_end.wait(DEADLINE_S)
        self.drawn.append(self.next)


def test_one_grid_of_samples_is_drawn_at_a_time_and_nothing_waits_for_it(executor, work):  # noqa: F811
    executor._workers.grids = grids = Drawing()
    executor._workers.model_repo = SimpleNamespace(shows=lambda state: "", update=lambda state, committing: None)
    try:
        executor.show(State())
        grids.next = "b"
        executor.show(State())
        work.may_end.set()
        executor.start((TrainRouter(),), State())
        assert ended(executor) == [RouterTrained(True, "trained")], "beside the drawing"
        grids.may_end.set()
        wait_until(lambda: grids.drawn)
        assert grids.drawn == ["b"], "one was under way"
        executor.results()
        executor.show(State())
        assert grids.drawn == ["b"], "nothing is new"
    finally:
        grids.may_end.set()


class HeldRepo:
    """A model repo that shows something else at each tick; an update commits, and then sets tags until it may end."""

    def __init__(self) -> None:
        self.ticks, self.updates = 0, 0
        self.begun, self.may_end = threading.Event(), threading.Event()

    def shows(self, state: State) -> str:
        self.ticks += 1
        return f"digest {self.ticks}"

    def update(self, state: State, committing: threading.Lock) -> None:
        with committing:
            self.updates += 1
        self.begun.set()
        assert self.may_end.wait(DEADLINE_S)


def test_one_update_of_the_model_repo_is_under_way_and_no_work_waits_for_it(executor):  # noqa: F811
    executor._workers.model_repo = repo = HeldRepo()
    executor._workers.registrar = SimpleNamespace(
        register=lambda state, lease_id: lease_id, close=lambda state, lease_id: None
    )
    executor._workers.verifier = SimpleNamespace(discard_candidate=lambda lease_id: None)
    try:
        for _ in range(6):
            executor.show(State())
        assert repo.begun.wait(DEADLINE_S)
        executor.start((Register("a" * 32), Close("b" * 32)), State())
        found: list[object] = []
        while len(found) < 2:
            found += ended(executor)
        assert set(found) == {Registered("a" * 32), Closed("b" * 32)}, "while the update waits for the Hub"
        assert repo.updates == 1
    finally:
        repo.may_end.set()
    wait_until(lambda: not executor._ended.empty())
    executor.results()
    executor.show(State())
    wait_until(lambda: repo.updates == 2)


class NewLegs:
    """Grids and a model repo for which each tick brings something new."""

    def __init__(self, error: Exception) -> None:
        self.ticks, self.error = 0, error

    def wanted(self, state: State) -> DrawGrid:
        self.ticks += 1
        return DrawGrid((f"lease {self.ticks}",), "")

    def shows(self, state: State) -> str:
        self.ticks += 1
        return f"digest {self.ticks}"

    def update(self, state: State, committing: threading.Lock) -> None:
        raise self.error

    def draw(self, state: State) -> None:
        raise self.error


def test_what_cannot_be_shown_backs_off_by_kind_and_is_named_without_its_digest(executor, clock):  # noqa: F811
    said: list[str] = []
    executor._log = said.append
    executor._workers.model_repo = executor._workers.grids = NewLegs(HubError("The Hub is down."))
    for _ in range(720):  # an hour of ticks
        executor.show(State())
        wait_until(lambda: executor.results() == [] and not executor._in_flight)
        clock.now += 5
    assert set(said) == {"UpdateModelRepo: The Hub is down.", "DrawGrid: The Hub is down."}
    assert len(said) == 2 * 14, "after 2, 4, 8 seconds and so on, then every 10 minutes"
    assert set(executor._waiting) == {UpdateModelRepo, DrawGrid}


def test_show_raises_nothing_and_reports_what_failed(executor):  # noqa: F811
    said: list[str] = []
    shown: list[State] = []

    def wanted(state: State) -> None:
        raise PermissionError(13, "Permission denied", "grids")

    executor._log = said.append
    executor._workers.grids = SimpleNamespace(wanted=wanted)
    executor._workers.model_repo = SimpleNamespace(
        shows=lambda state: "a", update=lambda state, committing: shown.append(state)
    )
    for _ in range(3):
        executor.show(State())
    assert len(said) == 1, "it backs off"
    assert said[0].startswith("DrawGrid: unexpected PermissionError")
    wait_until(lambda: shown)
