"""The proof of bits: three volunteers train one expert in legs, one is killed in mid leg, one hands in early; what is
registered has the bits of a training that nothing disturbed."""

from __future__ import annotations

import json
import signal

import pytest
from deadlines import DEADLINE_S
from swarm import Process, command, join, serve_tiny, wait_until

from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.reading import read_state
from paris.node.fetching.cache import Cache
from paris.node.machine.config import NodeConfig
from paris.node.machine.hardware import detect
from paris.node.machine.home import Home
from paris.node.machine.machine import Machine
from paris.node.machine.unit import UnitFolder
from paris.node.trainer.task import make_training
from paris.node.work.order import make_order
from paris.protocol.envelope import open_envelope

pytestmark = pytest.mark.slow
STEPS, LEG, EVERY = 240, 80, 20
_SETTINGS = {
    "num_experts = 2": "num_experts = 1",
    "steps = 240": f"steps = {STEPS}\nleg_steps = {LEG}",
    "snapshot_every = 30": f"snapshot_every = {EVERY}",
    "train_after = 2": "train_after = 0",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("relay")


@pytest.fixture(scope="module")
def run(folder, crew):
    """A served run of one expert in three legs."""
    return serve_tiny(folder, crew, _SETTINGS)


@pytest.fixture(scope="module")
def relay(run, folder, crew):
    """The whole training; the processes of the three by name, and what `hand-in` said."""

    ada = join(run, crew, "ada", "--once")
    assert ada.popen.wait(2 * DEADLINE_S) == 0, ada.stderr.read_text()
    ben = join(run, crew, "ben")
    wait_until(lambda: ben.event("leg"), DEADLINE_S, "ben trains")
    ben.kill()
    result = command("paris-coord", "revoke", str(run), "expert-0")
    assert result.returncode == 0, result.stderr
    cy = join(run, crew, "cy")
    wait_until(lambda: cy.event("snapshot"), DEADLINE_S, "cy's first snapshot")
    cy.popen.send_signal(signal.SIGTERM)
    cy.popen.wait(DEADLINE_S)
    handed_in = command("paris-node", "hand-in", str(run / "run.json"), "--home", str(folder / "cy"))
    assert handed_in.returncode == 0, handed_in.stdout + handed_in.stderr
    again = join(run, crew, "ada", session="-again")
    assert again.popen.wait(2 * DEADLINE_S) == 0, again.stderr.read_text()
    return {"ada": ada, "ben": ben, "cy": cy, "again": again, "handed_in": handed_in.stdout + handed_in.stderr}


def legs_of(process: Process) -> list[tuple[int, int]]:
    return [(event["start_step"], event["end_step"]) for event in process.events if event["event"] == "leased"]


def test_each_volunteer_goes_on_where_the_last_verified_leg_ended(relay, run):
    assert legs_of(relay["ada"]) == [(0, LEG)]
    assert legs_of(relay["ben"]) == legs_of(relay["cy"]) == [(LEG, 2 * LEG)]
    (first, second) = legs_of(relay["again"])
    early = first[0]
    assert early in range(LEG + EVERY, 2 * LEG, EVERY), relay["handed_in"]
    assert (first, second) == ((early, early + LEG), (early + LEG, STEPS))
    handed_in = sorted(read_state(RunDir.open(run)).submissions.values(), key=lambda known: known.submission.steps)
    assert [known.submission.name for known in handed_in] == ["ada", "cy", "ada", "ada"]
    verdicts = [event for event in relay["again"].events if event["event"] == "verdict"]
    assert [verdict["accepted"] for verdict in verdicts] == [True, True]


def test_a_volunteer_fetches_a_state_that_is_not_its_own_and_no_other(relay):
    """Its first leg starts from another's state, its second from the one that it has just reached."""
    notes = [event["text"] for event in relay["again"].events if event["event"] == "note"]
    (fetched,) = [note for note in notes if note.startswith("The state at step")]
    assert f"step {legs_of(relay['again'])[0][0]} " in fetched


def test_the_registered_expert_has_the_bits_of_an_undisturbed_training(relay, run, folder, tmp_path):
    home = Home(folder / "ada")
    (run_id,) = home.run_ids()
    spec = open_envelope((run / "run.json").read_bytes(), run_id=run_id, coordinator=None, now=None).payload
    _, unit = home.units(run_id)[0]
    whole = unit.model_copy(update={"lease": unit.lease.model_copy(update={"start_step": None, "to_step": None})})
    machine = Machine(home, NodeConfig(threads=1, device="cpu"), detect(NodeConfig(device="cpu"), home.path))
    order = make_order(spec, whole, UnitFolder(tmp_path), Cache(home.cache), machine)
    alone = make_training(json.loads(order.model_dump_json()), "cpu", lambda: False)
    finished = alone.run(lambda progress: None, lambda: False)
    (task,) = read_state(RunDir.open(run)).tasks.values()
    assert task.registration.sha256 == finished.weights_sha256
    assert task.registration.steps == finished.step == STEPS


def test_credits_are_the_verified_steps(relay, folder):
    early = legs_of(relay["again"])[0][0]
    expected = {"ada": LEG + STEPS - early, "ben": 0, "cy": early - LEG}
    for name, steps in expected.items():
        result = command("paris-node", "credits", "--home", str(folder / name), "--json")
        assert result.returncode == 0, result.stderr
        (row,) = json.loads(result.stdout)
        assert row["steps"] == steps
