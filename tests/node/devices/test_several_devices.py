"""One `paris-node join --device cpu,cpu` against a small real coordinator; in the long form, two trainers work."""

from __future__ import annotations

import json

import pytest
from node_process import all_gone
from typer.testing import CliRunner

from paris.node.cli import app
from paris.node.machine.home import Home
from paris.protocol.signing import Identity

pytestmark = pytest.mark.slow


def told(tmp_path, command: str) -> dict:
    """What `paris-node COMMAND --json` prints for that home."""
    return json.loads(CliRunner().invoke(app, [command, "--home", str(tmp_path / "home"), "--json"]).stdout)


def test_one_join_is_a_node_for_each_device_and_ends_as_one(make_coordinator, start, tmp_path, monkeypatch):
    monkeypatch.setenv("PARIS_NODE_EARLY_TRAINER", "false")
    coordinator = make_coordinator(10)
    coordinator.is_granting = False
    node = start("--device", "cpu,cpu", "--name", "ada")
    assert node.wait_for("introduction")["hardware"].startswith("2 devices: ")
    joined = [node.wait_for("joined"), node.wait_for("joined")]
    own = Identity.load(tmp_path / "home" / "identity.key")
    names = {event["node"]: event["identity"] for event in joined}
    assert names == {name: own.derived(f"device {name}").public_key for name in ("cpu", "cpu-2")}
    status = told(tmp_path, "status")
    assert [state["node"] for state in status["running"]["nodes"]] == ["cpu", "cpu-2"]
    assert {state["device"] for state in status["running"]["nodes"]} == {"cpu"}
    assert told(tmp_path, "finish")["text"].startswith("The node hands in its leg")
    assert node.wait_end() == 0
    assert {event["node"] for event in node.of("done")} == {"cpu", "cpu-2"}


@pytest.mark.long
def test_one_join_trains_an_expert_on_each_device_and_is_controlled_as_one(make_coordinator, start, tmp_path):
    coordinator = make_coordinator(100_000, 100_000)
    coordinator.most_leases = 2
    node = start("--device", "cpu,cpu", "--name", "ada")
    by_node = {}
    while len(by_node) < 2:
        event = node.wait_for("snapshot")
        by_node[event["node"]] = event["task_id"]
    assert set(by_node) == {"cpu", "cpu-2"}
    assert set(by_node.values()) == {"expert-0", "expert-1"}
    volunteers = {lease.volunteer for lease in coordinator.leases.values()}
    own = Identity.load(tmp_path / "home" / "identity.key")
    assert volunteers == {own.derived("device cpu").public_key, own.derived("device cpu-2").public_key}
    assert {want.name for want in coordinator.wants} == {"ada"}

    status = told(tmp_path, "status")
    assert {state["node"]: state["task_id"] for state in status["running"]["nodes"]} == by_node
    assert [(task["node"], task["state"]) for task in status["tasks"]] == [("cpu", "training"), ("cpu-2", "training")]
    assert "Paused: you asked for it" in told(tmp_path, "pause")["text"]
    assert {node.wait_for("paused")["node"], node.wait_for("paused")["node"]} == {"cpu", "cpu-2"}
    children = node.children()
    told(tmp_path, "leave")
    assert node.wait_end() == 0
    assert all_gone(children) == []
    assert [home.unfinished(coordinator.run_id) for home in Home(tmp_path / "home").of_devices().values()] == [
        None,
        None,
    ]
