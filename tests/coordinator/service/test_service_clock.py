"""A coordinator that starts with a wrong clock: its records follow when the clock is corrected."""

from __future__ import annotations

import threading

import pytest
from test_service_loop import UnchangedRepo
from tick_world import POLICY, START, beat, lease_of, run_of, submission, task, want

from paris.coordinator.children import Children
from paris.coordinator.decisions.clock_moves import moved
from paris.coordinator.service.executor import Executor, Workers
from paris.coordinator.service.loop import Service
from paris.coordinator.state.model import State
from paris.coordinator.state.store import Store
from paris.protocol.clock import ClockWatch, SteadyClock

GRACE_S = task(0).task.grace_s


class ListedSwarm:
    """A DHT in which the test says what volunteers published."""

    def __init__(self) -> None:
        self.published: list = []
        self.wake = threading.Event()

    def observations(self) -> list:
        seen, self.published = self.published, []
        return seen

    def keep_peer_alive(self) -> None: ...

    def republish_all(self) -> None: ...

    def publish(self, state) -> None: ...


class Idle(Executor):
    """Carries out nothing."""

    def start(self, actions, state) -> None: ...


class World:
    """A service, its store, and the machine's two clocks."""

    def __init__(self, folder) -> None:
        self.folder, self.wall_s, self.steady_s = folder, START, 50.0
        self.swarm, self.lines = ListedSwarm(), []

    def start(self) -> Service:
        wall, steady = (lambda: self.wall_s), (lambda: self.steady_s)
        self.store = Store(self.folder / "state.sqlite")
        log = self.lines.append
        parts = dict.fromkeys(("verifier", "registrar", "lane_means", "router", "releaser", "grids"))
        workers = Workers(**parts, model_repo=UnchangedRepo())
        return Service(
            ways=self.swarm,
            servers=[],
            store=self.store,
            executor=Idle(workers, Children(self.folder / "logs"), log),
            policy=POLICY,
            clock=SteadyClock(wall, steady),
            log=log,
            watch=ClockWatch(wall, steady),
        )

    def pass_s(self, seconds: float) -> None:
        self.wall_s += seconds
        self.steady_s += seconds

    def saw(self, service: Service, *observations) -> State:
        self.swarm.published = list(observations)
        service.step()
        assert self.store.load() == service.state, "what counts is on the disk"
        return service.state


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    first = Store(tmp_path / "state.sqlite")
    first.save(State(), run_of(1), [], START)
    first.close()
    yield world
    world.store.close()


@pytest.mark.parametrize("wrong_s", [3600.0, -3600.0, -900_000.0])
def test_times_follow_when_the_clock_that_was_wrong_at_the_start_is_corrected(world, wrong_s):
    world.wall_s += wrong_s
    service = world.start()
    lease = lease_of(world.saw(service, want(0, world.wall_s)))
    assert lease.granted_at == START + wrong_s
    world.pass_s(20)
    world.wall_s -= wrong_s
    state = world.saw(service)
    assert lease_of(state).granted_at == pytest.approx(START)
    assert lease_of(state).expires_at == pytest.approx(START + POLICY.lease_s)
    assert [line.text.count("jumped") for line in world.lines if "clock" in line.text] == [1]
    world.pass_s(20)
    late = world.saw(service, beat(lease, 0, world.wall_s, 10), submission(lease, 0, world.wall_s))
    # Else the submission would be rejected as signed in the future.
    assert late.submissions[lease.lease_id].seen_at == pytest.approx(START + 40)
    assert late.leases[lease.lease_id].heartbeat_at == pytest.approx(START + 40)


def test_times_of_an_earlier_service_stay_when_the_clock_is_corrected(world):
    service = world.start()
    before = lease_of(world.saw(service, want(0, START)))
    world.store.close()
    world.wall_s -= 3600
    again = world.start()
    world.saw(again)
    world.pass_s(20)
    world.wall_s += 3600
    state = world.saw(again, beat(before, 0, world.wall_s, 10))
    assert lease_of(state).granted_at == pytest.approx(START, abs=1), "not an hour later"
    assert state.leases[before.lease_id].heartbeat_at == pytest.approx(START + 20)


def test_a_service_that_starts_after_one_whose_clock_was_ahead_believes_no_time_of_the_future(world):
    world.wall_s += 3600
    first = world.start()
    lease = lease_of(world.saw(first, want(0, world.wall_s)))
    world.saw(first, beat(lease, 0, world.wall_s, 1))
    world.store.close()
    world.wall_s -= 3600
    state = world.saw(world.start())
    assert lease_of(state).granted_at <= START
    assert lease_of(state).expires_at <= START + POLICY.lease_s
    assert state.leases[lease.lease_id].heartbeat_at <= START


def test_a_machine_that_slept_takes_no_lease_back_before_it_has_listened_for_a_grace(world):
    first = world.start()
    lease = lease_of(world.saw(first, want(0, START)))
    world.store.close()
    service = world.start()
    world.pass_s(GRACE_S + 1)
    world.wall_s += 86400
    assert lease_of(world.saw(service)).lease_id == lease.lease_id
    world.pass_s(GRACE_S - 1)
    assert lease_of(world.saw(service)).lease_id == lease.lease_id
    world.pass_s(2)
    assert world.saw(service).tasks["expert-0"].lease_id is None


def test_a_step_that_cannot_save_moves_neither_clock_nor_times(world, monkeypatch):
    world.wall_s += 3600
    service = world.start()
    lease = lease_of(world.saw(service, want(0, world.wall_s)))
    world.wall_s -= 3600
    with monkeypatch.context() as patch:
        patch.setattr(world.store, "save", lambda *a, **k: (_ for _ in ()).throw(OSError("disk full")))
        for _ in range(2):
            with pytest.raises(OSError, match="disk full"):
                service.step()
    assert lease_of(service.state).granted_at == START + 3600
    assert lease_of(world.saw(service)).granted_at == START
    assert lease.lease_id in service.state.leases


def test_rows_without_times_of_this_clock_are_not_written_again():
    state = run_of(1)
    assert moved(state, state, 0.0) is state
    assert moved(state, State(), 5.0) == state, "tasks have no times"
