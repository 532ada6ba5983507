"""The demo, to its end and cut short: what it makes, and that it leaves no process behind."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import psutil
import pytest
from deadlines import DEADLINE_S
from recorded_network import off_loopback
from swarm import TINY, Process, all_gone, command, record_network, recorded, wait_until, warm_recipe

from paris.coordinator.run.directory import RunDir
from paris.node.trainer import PROCESS_MODULE

pytestmark = pytest.mark.slow


def names(processes: list[psutil.Process]) -> str:
    words = []
    for process in processes:
        try:
            words += process.cmdline()
        except psutil.Error:
            continue
    return " ".join(words)


def start_demo(folder: Path, out: Path, recipe: Path = TINY) -> Process:
    return Process(folder, "demo", "paris-coord", "demo", "--recipe", str(recipe), "--out", str(out))


def wait_for_trainer(demo: Process) -> list[psutil.Process]:
    return wait_until(lambda: PROCESS_MODULE in names(tree := demo.tree()) and tree, DEADLINE_S, "a trainer runs")


@pytest.mark.long
def test_ctrl_c_leaves_no_process_behind(tmp_path):
    demo = start_demo(tmp_path, tmp_path / "demo")
    everything = wait_for_trainer(demo)
    demo.popen.send_signal(signal.SIGINT)
    assert demo.popen.wait(DEADLINE_S) == 130
    assert "Run the same command again to continue" in demo.stderr.read_text()
    assert all_gone(everything)


def test_a_killed_demo_leaves_no_process_behind_and_continues_to_its_report(tmp_path, monkeypatch):
    record_network(monkeypatch, tmp_path / "network")
    out = tmp_path / "demo"
    demo = start_demo(tmp_path, out)
    everything = wait_for_trainer(demo)
    assert "p2pd" in names(everything)
    assert "paris.coordinator.page" in names(everything)  # it serves the Hub, too
    demo.kill()
    wait_until(lambda: all_gone(everything), DEADLINE_S, f"gone: {names([p for p in everything if p.is_running()])}")
    prepared = (out / "run" / "data" / "prepared.json").stat().st_mtime_ns
    run_id = RunDir.open(out / "run").run_id

    again = start_demo(tmp_path, out)
    everything = wait_for_trainer(again)
    assert again.popen.wait(DEADLINE_S) == 0, again.stderr.read_text()
    assert all_gone(everything)
    assert f"Continuing the demo in {out} after: prepare" in again.stderr.read_text()
    assert (out / "run" / "data" / "prepared.json").stat().st_mtime_ns == prepared
    assert run_id in again.stdout.read_text("utf-8")
    require_report(out, {"prepare", "start", "train", "release", "report", "total"})
    assert off_loopback(recorded(tmp_path / "network")) == []

    finished = command("paris-coord", "demo", "--recipe", str(TINY), "--out", str(out))
    assert (finished.returncode, "is finished" in finished.stderr) == (0, True)
    other = command("paris-coord", "demo", "--quick", "--out", str(out))
    assert other.returncode == 61
    assert "--recipe emoji-quick" in other.stderr


def require_report(out: Path, stages: set[str]) -> None:
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert report["bytes_between_experts"] == 0
    assert report["sockets"]["looks"] > 0
    assert report["sockets"]["off_loopback"] == 0
    assert set(report["stages_s"]) == stages
    assert 0 < report["peak_memory_bytes"] < 4 * 2**30
    assert [verdict["accepted"] for verdict in report["verdicts"]] == [True, True]
    assert "bytes between experts in training" in (out / "report.md").read_text("utf-8")
    assert all(
        (out / name).read_bytes().startswith(b"\x89PNG") for name in ("samples.png", "clusters.png", "training.png")
    )
    assert "## Verdicts" in (out / "report.md").read_text("utf-8")


@pytest.mark.long
def test_a_demo_with_a_warm_start_makes_its_report(tmp_path):
    recipe = tmp_path / "warm.toml"
    recipe.write_text(warm_recipe())
    demo = start_demo(tmp_path, tmp_path / "demo", recipe)
    assert demo.popen.wait(DEADLINE_S) == 0, demo.stderr.read_text()
    require_report(tmp_path / "demo", {"prepare", "warm-start", "start", "train", "release", "report", "total"})


@pytest.mark.long
def test_a_demo_with_strangers_shows_the_hand_over_and_the_cheat(tmp_path):
    recipe, out = tmp_path / "legs.toml", tmp_path / "demo"
    recipe.write_text(TINY.read_text("utf-8").replace("steps = 240\n", "steps = 240\nleg_steps = 240\n", 1))
    options = ("--recipe", str(recipe), "--out", str(out), "--strangers", "--volunteers", "2")
    demo = Process(tmp_path, "demo", "paris-coord", "demo", *options)
    assert demo.popen.wait(3 * DEADLINE_S) == 0, demo.stderr.read_text()
    report = json.loads((out / "report.json").read_text("utf-8"))
    (legs,) = report["legs"].values()
    assert [leg["start_step"] for leg in legs] == [0, legs[0]["steps"]]
    assert 120 <= legs[0]["steps"] < legs[1]["steps"] == 240
    assert legs[0]["volunteer"] == "volunteer-1" != legs[1]["volunteer"]
    refused = [verdict for verdict in report["verdicts"] if not verdict["accepted"]]
    assert [verdict["volunteer_name"] for verdict in refused] == ["mallory"]
    assert "skill/gain" in refused[0]["reason"]


def test_a_folder_that_holds_something_else_is_not_replaced(tmp_path):
    out = tmp_path / "demo"
    out.mkdir()
    (out / "precious").write_text("mine")
    demo = Process(tmp_path, "demo", "paris-coord", "demo", "--overwrite", "--out", str(out))
    assert demo.popen.wait(DEADLINE_S) == 61
    assert (out / "precious").read_text() == "mine"
    assert "already exists" in demo.stderr.read_text()
