"""Run directories and homes written by older versions, in the middle of a run: later versions open them and go on.

fixtures/run-VERSION.tar.xz  run/   expert-0 registered, expert-1 leased to ben
                             ada/   a home whose unit is done
                             ben/   a home whose unit was killed at step 100 of 3000

`write_run_fixture.py` makes one of the present version. They must open for ever.
"""

from __future__ import annotations

import json
import re
import socket
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from deadlines import DEADLINE_S
from swarm import Process, command, status, wait_until

FIXTURES = Path(__file__).parents[1] / "fixtures"
COMMITMENTS = {
    "0.1.0": "3564709e166151afeac396fe759305d1e8df8c726cfe2bc8db2ab6ba3871c605",
    "2026-11": "69113eef99c51cfbb0e50cb3ee1fc12c494187dfb093ad83d085cb916039f1d3",
}
"""Versions, and the commitment of ben's snapshot at step 100."""


@pytest.fixture(scope="module", params=COMMITMENTS)
def version(request):
    return request.param


@pytest.fixture(scope="module")
def folder(version, tmp_path_factory):
    """The fixture on ports of this machine: others may hold those that it was made with."""
    where = tmp_path_factory.mktemp("old")
    with tarfile.open(FIXTURES / f"run-{version}.tar.xz") as archive:
        archive.extractall(where, filter="data")
    settings = where / f"run-{version}" / "run" / "run.toml"
    text = settings.read_text("utf-8")
    text = re.sub(r"http://127\.0\.0\.1:\d+", f"http://127.0.0.1:{free_port()}", text)
    settings.write_text(re.sub(r"/ip4/127\.0\.0\.1/tcp/\d+", f"/ip4/127.0.0.1/tcp/{free_port()}", text))
    return where / f"run-{version}"


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_run_says_what_it_was(folder):
    now = status(folder / "run")
    assert [(task["task_id"], task["state"], task["volunteer"]) for task in now["tasks"]] == [
        ("expert-0", "registered", "ada"),
        ("expert-1", "leased", "ben"),
    ]
    assert [submission["verdict"]["accepted"] for submission in now["submissions"]] == [True]
    assert list((folder / "run").glob("state.sqlite.v*.bak")), "a copy is made before a migration"


@pytest.mark.parametrize(("name", "task", "state"), [("ada", "expert-0", "done"), ("ben", "expert-1", "training")])
def test_a_home_says_what_it_was(folder, name, task, state):
    result = command("paris-node", "status", "--home", str(folder / name), "--json")
    assert result.returncode == 0, result.stderr
    (unit,) = json.loads(result.stdout)["tasks"]
    assert (unit["task"], unit["attempt"], unit["state"]) == (task, 1, state)


def sequence_of(run: Path) -> int:
    return json.loads((run / "run.json").read_text())["sequence"]


@contextmanager
def served_and_joined(folder: Path) -> Iterator[Process]:
    """The run's coordinator, and the node whose unit was interrupted."""
    run = folder / "run"
    published_before = sequence_of(run)
    coordinator = Process(folder, "coordinator", "paris-coord", "serve", str(run), "--json")
    join = ("join", str(run / "run.json"), "--home", str(folder / "ben"), "--threads", "1", "--device", "cpu", "--json")
    ben = None
    try:
        wait_until(
            lambda: json.loads((run / "run.json").read_text())["sequence"] > published_before, DEADLINE_S, "run.json"
        )
        ben = Process(folder, "ben", "paris-node", *join)
        yield ben
    finally:
        for process in filter(None, (ben, coordinator)):
            process.stop()


def has_gone_on(ben: Process) -> bool:
    return any(event["event"] == "snapshot" and event["step"] > 100 for event in ben.events)


def require_same_chain(ben: Process, version: str) -> None:
    first = next(event for event in ben.events if event["event"] == "snapshot")
    assert (first["step"], first["commitment"]) == (100, COMMITMENTS[version]), "the chain of commitments goes on"


@pytest.mark.slow
@pytest.mark.parametrize("version", ["0.1.0"], indirect=True)
def test_the_run_is_served_and_the_interrupted_unit_goes_on_from_its_snapshot(folder, version):
    with served_and_joined(folder) as ben:
        wait_until(lambda: has_gone_on(ben), 2 * DEADLINE_S, "a snapshot after that of the old unit")
    require_same_chain(ben, version)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("version", COMMITMENTS, indirect=True)
def test_the_interrupted_unit_ends_as_an_accepted_expert(folder, version):
    with served_and_joined(folder) as ben:
        verdict = wait_until(lambda: ben.event("verdict"), 2 * DEADLINE_S, "a verdict on the old unit")
        wait_until(lambda: status(folder / "run")["complete"], DEADLINE_S, "both experts registered")
    assert verdict["accepted"], verdict
    assert (verdict["task_id"], verdict["attempt"]) == ("expert-1", 1)
    require_same_chain(ben, version)
