"""What a volunteer can get wrong, through the real command: an exit code, one line, a next step, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from deadlines import DEADLINE_S

from paris.node.errors import SettingsError, TaskTooBigError
from paris.node.machine.home import Home
from paris.node.machine.lock import home_lock
from paris.protocol.canonical import canonical_bytes
from paris.protocol.errors import IdentityError, RecordError, SignatureError, VersionError
from paris.protocol.signing import Identity

# A port that nothing listens on and a peer that nobody is.
DEAD_PEER = "/ip4/127.0.0.1/tcp/9/p2p/12D3KooWGRUVh2RdAyn2vKTA7kZzRbdLh8FdLuwuMjyJPDzBq1mR"


@pytest.fixture
def home(tmp_path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def run_json(tmp_path, make_spec) -> Path:
    path = tmp_path / "run.json"
    path.write_bytes(make_spec().data)
    return path


def run_node(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "paris.node.cli", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=DEADLINE_S, env=dict(os.environ), check=False
    )


def refused(run: object, home: Path, error: type[Exception]) -> str:
    """Join, see the refusal at a terminal's plain output, and give its one line."""
    done = run_node("join", str(run), "--home", str(home))
    lines = (done.stdout + done.stderr).splitlines()
    assert done.returncode == error.exit_code, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert len([line for line in lines if "Error [" in line]) == 1
    return lines[-1]


def test_a_run_signed_by_another_key_is_not_joined(home, run_json, make_spec):
    run_json.write_bytes(make_spec(identity=Identity.generate()).data)
    line = refused(run_json, home, SignatureError)
    assert "is not the key of run" in line
    assert "organiser" in line
    assert Home(home).run_ids() == []


def test_a_run_of_a_newer_protocol_says_that_this_side_must_update(home, run_json):
    raw = json.loads(run_json.read_bytes())
    run_json.write_bytes(canonical_bytes({**raw, "version": raw["version"] + 1}))
    assert "Update this side" in refused(run_json, home, VersionError)


def test_a_run_that_asks_for_a_newer_node_says_how_to_update(home, run_json, make_spec):
    run_json.write_bytes(make_spec(min_node_version="99.0.0").data)
    assert "pip install --upgrade" in refused(run_json, home, VersionError)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:100], lambda data: data.replace(b":3", b":NaN"), lambda _: b"\0"]
)
def test_a_damaged_run_json_is_to_be_got_again(home, run_json, damage):
    run_json.write_bytes(damage(run_json.read_bytes()))
    line = refused(run_json, home, RecordError)
    assert "not a signed RunSpec" in line
    assert "Get run.json again" in line


def test_a_damaged_run_json_in_the_home_is_named_and_left_alone(home, run_json, make_spec):
    run_id = make_spec().run_id
    kept = home / "runs" / run_id / "run.json"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"{")
    for run in (run_id, run_json):
        line = refused(run, home, RecordError)
        assert str(kept) in line
        assert "Move it away" in line
    assert kept.read_bytes() == b"{"


def test_an_unknown_setting_is_named_with_its_file_and_the_known_ones(home, run_json):
    home.mkdir()
    (home / "config.toml").write_text('nam = "ada"\n', "utf-8")
    line = refused(run_json, home, SettingsError)
    assert f"Unknown setting 'nam' from {home / 'config.toml'}." in line
    assert "Known settings: " in line
    assert "parallel_downloads" in line


def test_a_second_join_with_one_home_is_refused_with_json_too(home, run_json):
    with home_lock(home):
        assert "--home DIR" in refused(run_json, home, IdentityError)
        done = run_node("join", str(run_json), "--home", str(home), "--json")
    (event,) = map(json.loads, done.stdout.splitlines())
    assert (event["event"], event["type"], event["exit_code"]) == ("error", "IdentityError", done.returncode)
    assert str(os.getpid()) in event["what"]
    assert "--home DIR" in event["next_step"]
    assert done.stderr == ""


@pytest.mark.slow
def test_a_dead_peer_beside_a_live_one_stops_nobody_and_a_task_that_does_not_fit_is_given_back(
    make_coordinator, start, tmp_path, home, monkeypatch
):
    coordinator = make_coordinator(20)
    coordinator.tasks = {
        name: task.model_copy(update={"min_memory_bytes": 2**50}) for name, task in coordinator.tasks.items()
    }
    peers = (DEAD_PEER, *coordinator.peer.addresses)
    spec = coordinator.spec.model_copy(update={"initial_peers": peers})
    (tmp_path / "run.json").write_bytes(coordinator.sealed(spec).data)

    node = start()
    node.wait_for("joined")
    assert node.wait_end() == TaskTooBigError.exit_code
    (error,) = node.of("error")
    assert "needs 1048576.0 GiB of memory, this machine" in error["what"]
    assert "smaller model" in error["next_step"]
    assert [unit.state for _, unit in Home(home).units(coordinator.run_id)] == ["dropped"]
    assert node.of("fetching") == []

    monkeypatch.setenv("PARIS_HUB_TOKEN", "volunteer-token-of-the-tests")
    done = run_node(
        "doctor", str(tmp_path / "run.json"), "--home", str(tmp_path / "other"), "--device", "cpu", "--json"
    )
    found = {line["check"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 1
    assert [name for name, line in found.items() if line["level"] == "problem"] == ["fit"]
    assert "needs 1048576.0 GiB of memory, this machine" in found["fit"]["text"]
    assert found[f"peer {DEAD_PEER}"]["level"] == "warning", "another one answers"
    assert "with its identity" in found[f"peer {coordinator.peer.addresses[0]}"]["text"]
    assert "tasks: 1, none open now" in found["records"]["text"]
    assert "belongs to volunteer" in found["token"]["text"]
    assert "Traceback" not in done.stdout + done.stderr
