"""The demo, to its end and cut short: what it makes, and that it leaves no process behind."""

from __future__ import annotations

import json
import signal

import psutil
import pytest
from swarm import TINY, Process, all_gone, off_loopback, record_network, recorded, wait_until, warm_recipe

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


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=[pytest.mark.slow, pytest.mark.long]), signal.SIGKILL]
)
def test_no_process_is_left_behind(tmp_path, number):
    out = tmp_path / "demo"
    demo = Process(
        tmp_path, "demo", "paris-coord", "demo", "--recipe", str(TINY), "--volunteers", "1", "--out", str(out)
    )
    everything = wait_until(lambda: PROCESS_MODULE in names(tree := demo.tree()) and tree, 120, "a trainer runs")
    assert "p2pd" in names(everything)
    assert "paris.coordinator.hub" in names(everything)
    demo.popen.send_signal(number)
    code = demo.popen.wait(60)
    assert code == (130 if number == signal.SIGINT else -signal.SIGKILL)
    wait_until(lambda: all_gone(everything), 40, f"gone: {names([p for p in everything if p.is_running()])}")


@pytest.mark.parametrize("start", ["seed", pytest.param("warm", marks=pytest.mark.long)])
def test_a_whole_demo_makes_its_report_and_leaves_nothing_behind(tmp_path, start, monkeypatch):
    record_network(monkeypatch, tmp_path / "network")
    out, recipe, stages = tmp_path / "demo", TINY, {"prepare", "start", "train", "release", "report", "total"}
    if start == "warm":
        recipe = tmp_path / "warm.toml"
        recipe.write_text(warm_recipe())
        stages |= {"warm-start"}
    demo = Process(tmp_path, "demo", "paris-coord", "demo", "--recipe", str(recipe), "--out", str(out))
    everything = wait_until(lambda: PROCESS_MODULE in names(tree := demo.tree()) and tree, 120, "a trainer runs")
    assert demo.popen.wait(300) == 0, demo.stderr.read_text()
    assert all_gone(everything)
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert report["bytes_between_experts"] == 0
    assert report["sockets"]["looks"] > 0
    assert report["sockets"]["off_loopback"] == 0
    assert off_loopback(recorded(tmp_path / "network")) == []
    assert set(report["stages_s"]) == stages
    assert 0 < report["peak_memory_bytes"] < 4 * 2**30
    assert [verdict["accepted"] for verdict in report["verdicts"]] == [True, True]
    assert "bytes between experts in training" in demo.stdout.read_text("utf-8")
    assert all(
        (out / name).read_bytes().startswith(b"\x89PNG") for name in ("samples.png", "clusters.png", "training.png")
    )
    assert "## Verdicts" in (out / "report.md").read_text("utf-8")


def test_a_folder_that_holds_something_else_is_not_replaced(tmp_path):
    out = tmp_path / "demo"
    out.mkdir()
    (out / "precious").write_text("mine")
    demo = Process(tmp_path, "demo", "paris-coord", "demo", "--overwrite", "--out", str(out))
    assert demo.popen.wait(30) == 61
    assert (out / "precious").read_text() == "mine"
    assert "already exists" in demo.stderr.read_text()
