"""The demo, to its end and cut short: what it makes, and that it leaves no process behind."""

from __future__ import annotations

import json
import signal

import psutil
import pytest
from swarm import TINY, Process, all_gone, wait_until

pytestmark = pytest.mark.slow


def names(processes: list[psutil.Process]) -> str:
    words = []
    for process in processes:
        try:
            words += process.cmdline()
        except psutil.Error:
            continue
    return " ".join(words)


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=[pytest.mark.slow, pytest.mark.long]), signal.SIGKILL]
)
def test_no_process_is_left_behind(tmp_path, number):
    out = tmp_path / "demo"
    demo = Process(
        tmp_path, "demo", "paris-coord", "demo", "--recipe", str(TINY), "--volunteers", "1", "--out", str(out)
    )
    everything = wait_until(lambda: "paris.node.trainer" in names(tree := demo.tree()) and tree, 120, "a trainer runs")
    assert "p2pd" in names(everything)
    assert "paris.coordinator.hub" in names(everything)
    demo.popen.send_signal(number)
    code = demo.popen.wait(60)
    assert code == (130 if number == signal.SIGINT else -signal.SIGKILL)
    wait_until(lambda: all_gone(everything), 40, f"gone: {names([p for p in everything if p.is_running()])}")


def test_a_whole_demo_makes_its_report_and_leaves_nothing_behind(tmp_path):
    """With a warm start, so that experts that began from one are judged by all rungs."""
    out, recipe = tmp_path / "demo", tmp_path / "warm.toml"
    recipe.write_text(TINY.read_text("utf-8").replace("[model]\n", "[model]\nwarm_start_steps = 40\n"))
    demo = Process(tmp_path, "demo", "paris-coord", "demo", "--recipe", str(recipe), "--out", str(out))
    everything = wait_until(lambda: "paris.node.trainer" in names(tree := demo.tree()) and tree, 120, "a trainer runs")
    assert demo.popen.wait(300) == 0, demo.stderr.read_text()
    assert all_gone(everything)
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert report["bytes_between_experts"] == 0
    assert report["sockets"]["looks"] > 0
    assert report["sockets"]["off_loopback"] == 0
    assert {"prepare", "warm-start", "start", "train", "release", "report", "total"} <= set(report["stages_s"])
    assert 0 < report["peak_memory_bytes"] < 4 * 2**30
    assert [verdict["accepted"] for verdict in report["verdicts"]] == [True, True]
    assert "bytes between experts in training" in demo.stdout.read_text("utf-8")
    assert all(
        (out / name).read_bytes().startswith(b"\x89PNG") for name in ("samples.png", "clusters.png", "training.png")
    )
    made = json.loads((out / "run" / "data" / "warm_start.json").read_text("utf-8"))
    assert (made["steps"], made["batch_size"]) == (40, 16)
    assert not (out / "run" / "warm-start").exists()
    assert "trained on all clusters for 40 steps" in (out / "run" / "release" / "README.md").read_text("utf-8")
    assert "## Verdicts" in (out / "report.md").read_text("utf-8")


def test_a_folder_that_holds_something_else_is_not_replaced(tmp_path):
    out = tmp_path / "demo"
    out.mkdir()
    (out / "precious").write_text("mine")
    demo = Process(tmp_path, "demo", "paris-coord", "demo", "--overwrite", "--out", str(out))
    assert demo.popen.wait(30) == 61
    assert (out / "precious").read_text() == "mine"
    assert "already exists" in demo.stderr.read_text()
