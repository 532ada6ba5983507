"""A real join whose wall clock is wrong at the start, and again later: it goes on, and the jumps are named."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from deadlines import DEADLINE_S

from paris.node.machine.home import Home

pytestmark = pytest.mark.slow
SHIFTED_CLOCK = Path(__file__).with_name("shifted_clock.c")


@pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is Linux's")
@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_a_clock_that_was_an_hour_ahead_costs_no_heartbeat(make_coordinator, start, tmp_path, monkeypatch):
    library, shift = tmp_path / "shifted_clock.so", tmp_path / "shift"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, SHIFTED_CLOCK, "-ldl"], check=True, timeout=DEADLINE_S)
    shift.write_text("-3600")
    coordinator = make_coordinator(1_000_000)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("CLOCK_SHIFT_FILE", str(shift))
    node = start()
    monkeypatch.delenv("LD_PRELOAD")

    def set_clock(seconds: int) -> None:
        partial = tmp_path / "shift.partial"
        partial.write_text(str(seconds))
        partial.replace(shift)

    assert "The clock of this machine and that of" in node.wait_for("retrying")["text"]
    set_clock(0)
    node.wait_for("snapshot")
    set_clock(3600)
    assert "jumped 3600 s ahead" in node.wait_for("note")["text"]
    set_clock(0)
    assert "jumped 3600 s back" in node.wait_for("note")["text"]
    step = node.wait_for("training")["step"]
    coordinator.wait_for_heartbeat(lambda beat: beat.step > step)
    node.process.terminate()
    assert node.wait_end() == 0
    assert Home(tmp_path / "home").unfinished(coordinator.run_id)[1].state == "training"
