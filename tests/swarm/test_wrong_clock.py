"""A whole run whose coordinator starts an hour behind: nobody can join, then its clock is set, and the work counts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from deadlines import DEADLINE_S
from swarm import TINY, Process, command, status, wait_until

SHIFTED_CLOCK = Path(__file__).parents[1] / "node" / "join" / "shifted_clock.c"


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is Linux's")
@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_a_coordinator_that_starts_an_hour_behind_accepts_work_once_its_clock_is_set(tmp_path, monkeypatch):
    run, library, shift = tmp_path / "run", tmp_path / "shifted_clock.so", tmp_path / "shift"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, SHIFTED_CLOCK, "-ldl"], check=True, timeout=DEADLINE_S)
    for arguments in (("init", str(run), "--recipe", str(TINY)), ("prepare", str(run))):
        assert command("paris-coord", *arguments).returncode == 0
    shift.write_text("-3600")
    with monkeypatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(library))
        patch.setenv("CLOCK_SHIFT_FILE", str(shift))
        coordinator = Process(tmp_path, "coordinator", "paris-coord", "serve", str(run), "--json")
    try:
        wait_until(run.joinpath("run.json").is_file, DEADLINE_S, "run.json")
        assert command("paris-coord", "publish-tasks", str(run)).returncode == 0
        join = ("paris-node", "join", str(run / "run.json"), "--threads", "1", "--device", "cpu", "--json", "--once")
        node = Process(tmp_path, "node", *join, "--home", str(tmp_path / "home"))
        told = wait_until(lambda: node.event("retrying"), DEADLINE_S, "the node meets another clock")
        assert "differ by more than 3 s" in told["text"]

        corrected = tmp_path / "corrected"
        corrected.write_text("0")
        corrected.replace(shift)
        verdict = wait_until(lambda: node.event("verdict"), DEADLINE_S, "a verdict")
        assert verdict["accepted"], verdict
        said = [line.get("text", "") for line in coordinator.events]
        assert sum("jumped 3600 s ahead" in text or "jumped 3599 s ahead" in text for text in said) == 1
        now = status(run)
        assert abs(now["volunteers"][0]["seen_at"] - time.time()) < 2 * DEADLINE_S, json.dumps(now)
        assert node.popen.wait(DEADLINE_S) == 0
    finally:
        for process in (node, coordinator):
            process.stop()
