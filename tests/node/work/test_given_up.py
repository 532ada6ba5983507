"""A lease that is given up: said when the coordinator has confirmed it, kept and said again otherwise."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from units import make_unit

from paris.node.machine.config import NodeConfig
from paris.node.machine.hardware import Hardware
from paris.node.machine.home import Home
from paris.node.machine.machine import Machine
from paris.node.retry import StopSignal
from paris.node.swarm.announcer import Announcer
from paris.node.swarm.session import RunSession
from paris.node.work.agent import Agent
from paris.node.work.given_up import GivenUp
from paris.protocol.errors import NoPeersError
from paris.protocol.runid import make_run_id
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity

COORDINATOR, ME = Identity.generate(), Identity.generate()
RUN = make_run_id("tiny", COORDINATOR.public_key)


class Coordinator:
    """Stands where the DHT is: takes a lease back as soon as it hears that it was given up, if it listens."""

    is_up, look_s, place = True, 5.0, None

    def __init__(self, unit) -> None:
        self.unit, self.stores, self.listens = unit, True, True
        self.heard: list = []
        self.lease = unit.lease.model_copy(update={"volunteer": ME.public_key})
        self.sealer = Sealer(COORDINATOR, RUN)

    def publish(self, envelope) -> bool:
        if not self.stores:
            return False
        self.heard.append(envelope.payload)
        if self.listens and getattr(envelope.payload, "state", "") == "failed":
            self.lease = self.lease.model_copy(update={"state": "revoked", "reason": "the volunteer gave it up."})
        return True

    def read(self, kind, part=None) -> list:
        return [self.sealer.seal(self.lease if kind == "lease" else self.unit.task, 60)]


@pytest.fixture
def coordinator():
    return Coordinator(make_unit().model_copy(update={"run_id": RUN}))


@pytest.fixture
def make_agent(coordinator, make_spec, tmp_path):
    """An agent as each start of the program makes it, in one home."""
    home = Home(tmp_path / "home")
    home.unit_folder(RUN, "expert-0", 1).save(coordinator.unit)

    def make() -> Agent:
        run = make_spec(identity=COORDINATOR, run_id=RUN, heartbeat_every_s=0.01)
        sealer = Sealer(ME, RUN)
        session = RunSession(run, "ada", sealer, coordinator, Announcer(coordinator, sealer, 3600))
        machine = Machine(home, NodeConfig(), Hardware("cpu", "small CPU", 2**30, 2**30))
        view = SimpleNamespace(event=lambda kind, **fields: None, close=lambda: None)
        return Agent(session, None, machine, view, StopSignal())

    return make


def unreported(tmp_path) -> list:
    return list((tmp_path / "home").rglob("give-back-unreported"))


def test_a_lease_is_given_back_when_the_coordinator_has_taken_it_back(make_agent, coordinator, tmp_path):
    assert make_agent().give_back() == "Left; 1 unfinished task was given back."
    assert [record.state for record in coordinator.heard] == ["failed", "leaving"]
    assert unreported(tmp_path) == []
    assert make_agent().give_back() == "Left; no unfinished tasks were given back."


def test_what_nobody_heard_is_kept_and_said_by_the_next_leave(make_agent, coordinator, tmp_path):
    coordinator.stores = False
    with pytest.raises(NoPeersError, match=r"No peer of the run took the message that 1 unfinished task was given up"):
        make_agent().give_back()
    assert len(unreported(tmp_path)) == 1
    coordinator.stores = True
    assert make_agent().give_back() == "Left; 1 unfinished task was given back."
    assert unreported(tmp_path) == []


def test_what_the_coordinator_has_not_confirmed_is_named_and_said_by_the_next_join(make_agent, coordinator, tmp_path):
    coordinator.listens = False
    assert "has not confirmed yet that 1 unfinished task was given back" in make_agent().give_back(0.0)
    coordinator.listens, coordinator.heard = True, []
    joined = make_agent()
    joined._given_up.tell_when_due()
    assert [record.state for record in coordinator.heard] == ["failed"]
    assert joined._given_up.unconfirmed() == []
    assert unreported(tmp_path) == []


def test_what_is_not_confirmed_is_told_once_a_heartbeat_period(coordinator, make_spec, tmp_path):
    now, home, sealer = [100.0], Home(tmp_path / "home"), Sealer(ME, RUN)
    folder = home.unit_folder(RUN, "expert-0", 1)
    folder.save(coordinator.unit)
    run = make_spec(identity=COORDINATOR, run_id=RUN, heartbeat_every_s=30.0)
    session = RunSession(run, "ada", sealer, coordinator, Announcer(coordinator, sealer, 3600))
    view = SimpleNamespace(event=lambda kind, **fields: None)
    given_up = GivenUp(session, home, view, lambda: now[0])
    coordinator.listens, heard = False, []
    assert (given_up.unconfirmed(), given_up.tell()) == ([], True)
    folder.set_unreported(True)
    assert given_up.unconfirmed() == [coordinator.unit]
    for after_s in (29.9, 30.0, 59.9, 60.0):
        now[0] = 100.0 + after_s
        given_up.tell_when_due()
        heard.append(len(coordinator.heard))
    assert heard == [0, 1, 1, 2]
    coordinator.stores = False
    assert not given_up.tell()
    coordinator.stores = coordinator.listens = True
    assert given_up.tell()
    assert given_up.unconfirmed() == []


def test_a_task_that_was_leased_again_needs_no_more_words_once_its_own_lease_is_told_no_longer(make_agent, coordinator):
    coordinator.listens = False
    make_agent().give_back(0.0)
    later = {"attempt": 2, "lease_id": "2" * 32, "volunteer": "b" * 64}
    coordinator.lease = coordinator.lease.model_copy(update=later)
    assert make_agent()._given_up.unconfirmed() == []


def test_a_task_that_was_leased_to_another_as_well_is_still_to_be_given_back(make_agent, coordinator):
    coordinator.listens = False
    make_agent().give_back(0.0)
    coordinator.unit = make_unit(attempt=2)
    assert len(make_agent()._given_up.unconfirmed()) == 1
    coordinator.listens = True
    assert make_agent()._given_up.tell()
    assert make_agent()._given_up.unconfirmed() == []


def test_the_next_lease_frees_the_disk_of_the_units_that_ended_and_of_no_other(make_agent, coordinator, tmp_path):
    home = Home(tmp_path / "home")
    units = {"expert-1": "dropped", "expert-2": "done", "expert-3": "training"}
    for task_id, state in units.items():
        folder = home.unit_folder(RUN, task_id, 1)
        folder.save(make_unit(task_id, state=state).model_copy(update={"run_id": RUN}))
        (folder.work / "weights").touch()
    assert make_agent()._new_unit(coordinator.lease) is not None
    left = {unit.task.task_id for folder, unit in home.units(RUN) if (folder.work / "weights").exists()}
    assert left == {"expert-3"}
