"""A step of the service that fails loses nothing: results and requests are taken in by a later step."""

from __future__ import annotations

import sqlite3
import threading

from deadlines import DEADLINE_S
from hub_gate import wait_until

from paris.coordinator.children import Children
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.service.executor import Executor, Workers
from paris.coordinator.service.loop import Service
from paris.coordinator.state.events import EventKind
from paris.coordinator.state.flags import FROM_DATA, FROM_SAMPLES, ROUTER_FLAG
from paris.coordinator.state.store import Store
from paris.protocol.clock import ClockWatch, SteadyClock


class QuietSwarm:
    """A DHT in which nobody says anything."""

    num_republished = 0
    wake = threading.Event()

    def keep_peer_alive(self) -> None: ...

    def republish_all(self) -> None:
        self.num_republished += 1

    def observations(self) -> list:
        return []

    def publish(self, state) -> None: ...


class RouterJob:
    """Trains a router when the test lets it."""

    def __init__(self) -> None:
        self.may_end, self.num_trained = threading.Event(), 0

    def train(self, *, from_samples: bool) -> str:
        assert self.may_end.wait(DEADLINE_S)
        self.may_end.clear()
        self.num_trained += 1
        return f"Router {self.num_trained}, from samples: {from_samples}."


class UnchangedRepo:
    """A model repo that always shows what it should."""

    def shows(self, state) -> str:
        return ""

    def update(self, state, committing) -> None: ...


def make_service(
    tmp_path, job: RouterJob, log=None, watch=None, location=None, releaser=None
) -> tuple[Service, Store, Executor]:
    store, children = Store(location or tmp_path / "state.sqlite"), Children(tmp_path / "logs")
    log = log or [].append
    workers = Workers(
        verifier=None,
        registrar=None,
        lane_means=None,
        router=job,
        releaser=releaser,
        model_repo=UnchangedRepo(),
        grids=None,
    )
    executor = Executor(workers, children, log, clock=lambda: 0.0)
    service = Service(
        ways=QuietSwarm(),
        servers=[],
        store=store,
        executor=executor,
        policy=Policy(lease_s=60, heartbeat_every_s=1),
        clock=SteadyClock(lambda: 1000.0, lambda: 0.0),
        log=log,
        watch=watch,
    )
    return service, store, executor


def steps_until(service: Service, condition, what: str) -> None:
    def stepped() -> bool:
        service.step()
        return condition()

    wait_until(stepped, DEADLINE_S, what)


def test_a_database_that_goes_away_is_waited_for_and_said_in_one_line(tmp_path, schema, postgres):
    said, stop = [], threading.Event()
    service, store, executor = make_service(tmp_path, RouterJob(), log=said.append, location=schema)
    num_steps = []
    runner = threading.Thread(target=service.run, args=(stop, 0.01, num_steps.append))
    runner.start()
    try:
        wait_until(lambda: num_steps, DEADLINE_S, "a step")
        postgres.stop()
        try:
            wait_until(lambda: said, DEADLINE_S, "the service noticed")
            asked = []
            store.flag = lambda name, ask=store.flag: asked.append(name) or ask(name)
            wait_until(lambda: len(asked) > 2, DEADLINE_S, "further steps failed")
        finally:
            postgres.start()
        wait_until(lambda: len(said) > 1, DEADLINE_S, "the service went on")
    finally:
        stop.set()
        runner.join()
        executor.stop()
        store.close()
    assert [event.kind for event in said] == [EventKind.PROBLEM, EventKind.SERVING]
    assert said[0].text.endswith("The service waits for it.")


def test_a_trained_router_and_a_request_survive_steps_that_cannot_save(tmp_path):
    job = RouterJob()
    service, store, executor = make_service(tmp_path, job)
    refuse = "CREATE TRIGGER full BEFORE INSERT ON router BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    stop = threading.Event()

    def failing_steps(condition, what: str) -> None:
        """Steps that cannot save, as `run` takes them."""
        with sqlite3.connect(tmp_path / "state.sqlite") as database:
            database.execute(refuse)
        problems = []
        service._log = problems.append
        runner = threading.Thread(target=service.run, args=(stop, 0.01))
        runner.start()
        wait_until(lambda: condition() and len(problems) > 3, DEADLINE_S, what)
        stop.set()
        runner.join()
        stop.clear()
        with sqlite3.connect(tmp_path / "state.sqlite") as database:
            database.execute("DROP TRIGGER full")

    store.set_flag(ROUTER_FLAG, FROM_DATA)
    failing_steps(lambda: True, "steps failed with the request")
    assert store.flag(ROUTER_FLAG) == FROM_DATA
    service.step()
    assert store.load().router.phase == "training"
    assert store.flag(ROUTER_FLAG) is None
    job.may_end.set()
    failing_steps(lambda: job.num_trained == 1 and executor._ended.empty(), "steps failed with the result")
    service.step()
    router = store.load().router
    assert (router.phase, router.note) == ("done", "Router 1, from samples: False.")
    executor.stop()
    store.close()


def test_a_request_during_a_training_is_carried_out_after_it(tmp_path):
    job = RouterJob()
    service, store, executor = make_service(tmp_path, job)
    store.set_flag(ROUTER_FLAG, FROM_DATA)
    service.step()
    store.set_flag(ROUTER_FLAG, FROM_SAMPLES)
    service.step()
    assert store.flag(ROUTER_FLAG) == FROM_SAMPLES, "whoever waits for the second router still waits"
    job.may_end.set()
    steps_until(service, lambda: store.flag(ROUTER_FLAG) is None, "the second training begins")
    job.may_end.set()
    steps_until(service, lambda: service.state.router.phase == "done", "the second training ends")
    assert service.state.router.note == "Router 2, from samples: True."
    executor.stop()
    store.close()


def test_records_are_published_whatever_becomes_of_what_is_shown(tmp_path):
    service, store, executor = make_service(tmp_path, RouterJob())
    order: list[str] = []
    service._ways.publish = lambda state: order.append("published")
    executor._workers.model_repo.shows = lambda state: order.append("shown")
    service.step()
    assert order == ["published", "shown"]
    executor.stop()
    store.close()


def test_a_clock_that_jumps_is_one_line_and_every_record_is_published_again(tmp_path):
    offset_s, lines = [0.0], []
    watch = ClockWatch(lambda: offset_s[0], lambda: 0.0)
    service, store, executor = make_service(tmp_path, RouterJob(), lines.append, watch)
    service.step()
    assert (service._ways.num_republished, lines) == (0, [])
    offset_s[0] = -3600.0
    service.step()
    service.step()
    assert service._ways.num_republished == 1
    assert [line.text.split(";")[0] for line in lines] == ["The clock of this machine jumped 3600 s back (it was set)"]
    executor.stop()
    store.close()
