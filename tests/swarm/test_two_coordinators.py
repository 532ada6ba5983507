"""Two coordinators of one run, on one PostgreSQL and one Hub: after kill -9 of the leader the other goes on."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tarfile
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from deadlines import DEADLINE_S
from postgres_server import started_server, why_not
from swarm import Process, status, wait_until

from paris.coordinator.backup.restoring import restore
from paris.coordinator.backup.writing import write_backup
from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.orders import WHOLE_RUN, Order, OrderKind
from paris.coordinator.state.reading import open_store

FIXTURE = Path(__file__).parents[1] / "fixtures" / "run-2026-11.tar.xz"


@pytest.fixture(scope="module")
def url():
    if reason := why_not():
        pytest.skip(reason)
    with started_server() as server:
        yield server.url


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
    text = re.sub(r"/ip4/127\.0\.0\.1/tcp/\d+", "/ip4/127.0.0.1/tcp/0", text)
    text = text.replace("embedded = true", "embedded = false").replace("[state]\n", "")
    path.write_text(f'{text}\n[state]\ndatabase = "{url}"\n', "utf-8")
    monkeypatch.setenv("PARIS_HUB_TOKEN", (run / "hub" / "admin.token").read_text().strip())


def second_of(run: Path) -> Path:
    """A directory for a second coordinator of the run."""
    write_backup(RunDir.open(run), run.parent / "run.tar")
    made, _ = restore(run.parent / "run.tar", run.parent / "second", standby=True)
    return made.path


def addresses(run: Path) -> list[str]:
    return json.loads((run / "run.json").read_text())["payload"]["initial_peers"]


def log_of(run: Path) -> list[tuple[str, str]]:
    with closing(open_store(RunDir.open(run))) as store:
        return [(event.kind, event.text) for event in store.events()]


@pytest.mark.slow
def test_the_standby_goes_on_after_the_leader_was_killed(tmp_path, url, monkeypatch):
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(tmp_path, filter="data")
    run = tmp_path / "run-2026-11" / "run"
    with served_hub(run / "hub") as hub:
        share(run, hub, url, monkeypatch)
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
            sequences = [json.loads((folder / "run.json").read_text())["sequence"] for folder in (run, other)]
        finally:
            codes = [process.stop() for process in started]
    assert codes == [-signal.SIGKILL, 0]
    assert [task["state"] for task in after["tasks"]] == [task["state"] for task in before["tasks"]]
    assert sequences[1] > sequences[0]
    assert set(addresses(run)) == set(addresses(other)), "the address of the first stays: it may come back"
    assert Counter(kind for kind, _ in log_of(other))["order"] == 1
    assert ("serving", "Another coordinator took over.") in log_of(other)
