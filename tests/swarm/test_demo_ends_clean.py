"""The demo leaves no process behind, however it ends."""

from __future__ import annotations

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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left_behind(tmp_path, number):
    out = tmp_path / "demo"
    demo = Process(tmp_path, "demo", "paris-coord", "demo", "--recipe", str(TINY), "--volunteers", "1", "--out", str(out))
    everything = wait_until(lambda: "paris.node.trainer" in names(tree := demo.tree()) and tree, 120, "a trainer runs")
    assert "p2pd" in names(everything)
    assert "paris.coordinator.hub" in names(everything)
    demo.popen.send_signal(number)
    code = demo.popen.wait(60)
    assert code == (130 if number == signal.SIGINT else -signal.SIGKILL)
    wait_until(lambda: all_gone(everything), 40, f"gone: {names([p for p in everything if p.is_running()])}")


def test_a_folder_that_holds_something_else_is_not_replaced(tmp_path):
    out = tmp_path / "demo"
    out.mkdir()
    (out / "precious").write_text("mine")
    demo = Process(tmp_path, "demo", "paris-coord", "demo", "--overwrite", "--out", str(out))
    assert demo.popen.wait(30) == 61
    assert (out / "precious").read_text() == "mine"
    assert "already exists" in demo.stderr.read_text()
