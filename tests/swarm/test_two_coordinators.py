"""Two coordinators of one run, on one PostgreSQL and one Hub: after kill -9 of the leader the other goes on."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from deadlines import DEADLINE_S
from postgres_server import started_server, why_not
from swarm import TINY, Process, command, join, status, wait_until

from paris.coordinator.backup.restoring import restore
from paris.coordinator.backup.writing import write_backup
from paris.coordinator.run.create import free_port
from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.orders import WHOLE_RUN, Order, OrderKind
from paris.coordinator.state.reading import open_store

FIXTURE = Path(__file__).parents[1] / "fixtures" / "run-2026-11.tar.xz"


@pytest.fixture(scope="module")
def server():
    if reason := why_not():
        pytest.skip(reason)
    with started_server() as started:
        yield started


@contextmanager
def served_hub(data: Path):
    """The Hub of a run, as a process of its own: its address."""
    hub = [sys.executable, "-m", "paris.coordinator.hub", "--data", str(data), "--port", "0", "--open-registration"]
    with subprocess.Popen(hub, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield process.stdout.readline().decode().split()[-1]
        finally:
            process.terminate()


def share(run: Path, hub: str, url: str, monkeypatch) -> None:
    """Let a run use another process's Hub, and the database."""
    path = run / "run.toml"
    text = re.sub(r'endpoint = "http://127\.0\.0\.1:\d+"', f'endpoint = "{hub}"', path.read_text("utf-8"))
    text = text.replace("embedded = true", "embedded = false").replace("[state]\n", "")
    path.write_text(f'{text}\n[state]\ndatabase = "{url}"\n', "utf-8")
    listen_elsewhere(run)
    monkeypatch.setenv("PARIS_HUB_TOKEN", (run / "hub" / "admin.token").read_text().strip())


def listen_elsewhere(run: Path) -> None:
    path = run / "run.toml"
    free = f"/ip4/127.0.0.1/tcp/{free_port('127.0.0.1')}"
    path.write_text(re.sub(r"/ip4/127\.0\.0\.1/tcp/\d+", free, path.read_text("utf-8")), "utf-8")


def second_of(run: Path) -> Path:
    """A directory for a second coordinator of the run."""
    write_backup(RunDir.open(run), run.parent / "run.tar")
    made, _ = restore(run.parent / "run.tar", run.parent / "second", standby=True)
    listen_elsewhere(made.path)
    return made.path


def addresses(run: Path) -> list[str]:
    return json.loads((run / "run.json").read_text())["payload"]["initial_peers"]


def log_of(run: Path) -> list[tuple[str, str]]:
    with closing(open_store(RunDir.open(run))) as store:
        return [(event.kind, event.text) for event in store.events()]


@pytest.mark.slow
def test_the_standby_goes_on_after_the_leader_was_killed(tmp_path, server, monkeypatch):
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(tmp_path, filter="data")
    run = tmp_path / "run-2026-11" / "run"
    with served_hub(run / "hub") as hub:
        share(run, hub, server.url, monkeypatch)
        started = [Process(tmp_path, "first", "paris-coord", "serve", str(run), "--json")]
        try:
            (first,) = started
            wait_until(lambda: first.event("serving"), DEADLINE_S, "the first leads")
            wait_until(lambda: len(addresses(run)) == 1, DEADLINE_S, "its address in run.json")
            other = second_of(run)
            second = Process(tmp_path, "second", "paris-coord", "serve", str(other), "--json")
            started.append(second)
            stood_by = wait_until(lambda: second.event("serving"), DEADLINE_S, "the second stands by")
            assert "this one stands by" in stood_by["text"]
            wait_until(lambda: len(addresses(run)) == 2, DEADLINE_S, "volunteers are told of both")
            before = status(run)
            first.kill()
            with closing(open_store(RunDir.open(other))) as store:
                store.add_order(Order(OrderKind.PAUSE, WHOLE_RUN, "a look"))
            wait_until(lambda: second.event("order"), DEADLINE_S, "the second carries out what was ordered")
            after = status(other)
            server.stop()
            wait_until(lambda: second.event("problem"), DEADLINE_S, "it notices that the database is gone")
            server.start()
            wait_until(lambda: "answers again" in second.event("serving")["text"], DEADLINE_S, "it goes on")
            sequences = [json.loads((folder / "run.json").read_text())["sequence"] for folder in (run, other)]
        finally:
            codes = [process.stop() for process in started]
    assert codes == [-signal.SIGKILL, 0]
    assert [task["state"] for task in after["tasks"]] == [task["state"] for task in before["tasks"]]
    assert sequences[1] > sequences[0]
    assert set(addresses(run)) == set(addresses(other)), "the address of the first stays: it may come back"
    assert Counter(kind for kind, _ in log_of(other))["order"] == 1
    assert ("serving", "A coordinator took over.") in log_of(other)
    assert [event["event"] for event in second.events].count("problem") == 1


class Pair:
    """Two coordinators of a run, one of which leads; a third process has the run's key."""

    def __init__(self, folder: Path, run: Path, signer: Path) -> None:
        self.folder, self.signer = folder, signer
        self.runs, self.processes = {"first": run}, list[Process]()
        self.serving: dict[str, Process] = {}

    def serve(self, name: str) -> Process:
        number = len(self.processes)
        command_line = ("paris-coord", "serve", str(self.runs[name]), "--signer", str(self.signer), "--json")
        self.serving[name] = Process(self.folder, f"{name}-{number}", *command_line)
        self.processes.append(self.serving[name])
        return self.serving[name]

    def kill_when(self, leader: str, happened: Callable[[Process], Any], what: str) -> str:
        """Kill the leader at a moment, and start it again, to stand by; the name of the next leader."""
        process, (other,) = self.serving[leader], self.serving.keys() - {leader}
        wait_until(lambda: happened(process), DEADLINE_S, what)
        process.kill()
        wait_until(lambda: leads(self.serving[other]), DEADLINE_S, f"{other} leads after {what}")
        self.serve(leader)
        wait_until(lambda: self.serving[leader].event("serving"), DEADLINE_S, f"{leader} stands by")
        return other


def leads(process: Process) -> bool:
    return any(event["event"] == "serving" and "join with" in event["text"] for event in process.events)


def key_elsewhere(run: Path) -> tuple[Process, Path]:
    """A signer with the run's key, which leaves the run's directory, and its socket."""
    keys, place = run.parent / "keys-of-the-run", Path(tempfile.mkdtemp(prefix="paris-signer-")) / "socket"
    (keys / "keys").mkdir(parents=True)
    shutil.copy(run / "run.toml", keys / "run.toml")
    (run / "keys" / "run.key").rename(keys / "keys" / "run.key")
    signer = Process(run.parent, "signer", "paris-coord", "signer", str(keys), "--socket", str(place))
    wait_until(place.exists, DEADLINE_S, "the signer's socket")
    return signer, place


@pytest.mark.slow
@pytest.mark.long
def test_a_run_is_finished_by_two_coordinators_that_are_killed_at_every_kind_of_moment(tmp_path, server, monkeypatch):
    recipe, run = tmp_path / "recipe.toml", tmp_path / "run"
    recipe.write_text(TINY.read_text("utf-8").replace("train_after = 2", "train_after = 0"))
    assert command("paris-coord", "init", str(run), "--recipe", str(recipe)).returncode == 0
    with served_hub(run / "hub") as hub:
        share(run, hub, server.url, monkeypatch)
        for words in (("prepare", str(run)), ("publish-tasks", str(run))):
            done = command("paris-coord", *words)
            assert done.returncode == 0, done.stderr
        signer, socket = key_elsewhere(run)
        pair = Pair(tmp_path, run, socket)
        ada = None
        try:
            first = pair.serve("first")
            wait_until(lambda: leads(first), DEADLINE_S, "the first leads")
            pair.runs["second"] = second_of(run)
            second = pair.serve("second")
            wait_until(lambda: second.event("serving"), DEADLINE_S, "the second stands by")
            wait_until(lambda: len(addresses(run)) == 2, DEADLINE_S, "volunteers are told of both")
            ada = join(run, lambda name, *words: Process(tmp_path, name, *words), "ada")
            leader = pair.kill_when("first", lambda process: process.event("leased"), "a lease")
            leader = pair.kill_when(leader, lambda process: process.event("submitted"), "a submission, unverified")
            leader = pair.kill_when(leader, lambda process: process.event("accepted"), "a verdict, unregistered")
            leader = pair.kill_when(leader, leads, "the publication of everything")
            wait_until(lambda: status(run)["complete"], 2 * DEADLINE_S, "both experts are registered")
            assert ada.popen.wait(DEADLINE_S) == 0, ada.stderr.read_text()
            after, log = status(run), log_of(run)
        finally:
            for process in filter(None, (ada, *pair.processes, signer)):
                process.stop()
            shutil.rmtree(socket.parent)
    assert {(task["state"], task["volunteer"]) for task in after["tasks"]} == {("registered", "ada")}
    assert [submission["verdict"]["accepted"] for submission in after["submissions"]] == [True, True], "nothing twice"
    kinds = Counter(kind for kind, _ in log)
    assert (kinds["leased"], kinds["submitted"], kinds["accepted"], kinds["registered"]) == (2, 2, 2, 2), log
    assert log.count(("serving", "A coordinator took over.")) == 4
