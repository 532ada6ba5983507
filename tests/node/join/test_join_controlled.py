"""A real node that pauses beside a program and on request, is resumed, and told to finish.

Shorter: tests/node/work/test_holding.py and tests/node/control.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from node_process import all_gone
from typer.testing import CliRunner

from paris.node.cli import app
from paris.node.control.client import ask
from paris.node.control.messages import Request
from paris.node.machine.home import Home
from paris.protocol.chain import parse_chain

pytestmark = [pytest.mark.slow, pytest.mark.long]


def test_a_paused_leg_has_the_same_bits_and_finish_hands_the_next_one_in_early(make_coordinator, start, tmp_path):
    coordinator = make_coordinator(100_000)
    coordinator.leg_steps = 600
    coordinator.verdicts = {("expert-0", 1): False, ("expert-0", 2): False}
    home, game = tmp_path / "home", shutil.copy("/bin/sleep", tmp_path / "paris-test-game")
    with subprocess.Popen([game, "600"]) as playing:
        node = start("--not-while", "paris-test-game")
        assert node.wait_for("paused")["text"] == "Paused: paris-test-game runs."
        assert ask(home, Request(command="status")).status["reason"] == "program"
        playing.kill()
    node.wait_for("snapshot")
    trainer = node.trainer()
    if sys.platform == "linux":
        maps = [Path(f"/proc/{pid}/maps").read_text() for pid in (node.process.pid, trainer.pid)]
        assert ["libtorch" in text for text in maps] == [False, True], "the agent needs no torch"
    assert ask(home, Request(command="pause")).text == "Paused: you asked for it."
    paused = node.wait_for("paused", reason="asked")
    last_step = node.of("training")[-1]["step"]
    assert f"paused at step {last_step}: you asked for it." in paused["text"]
    assert all_gone([trainer]) == []
    coordinator.wait_for_heartbeat(lambda beat: (beat.state, beat.pause_reason) == ("paused", "asked"))
    assert ask(home, Request(command="status")).status["state"] == "paused"
    assert CliRunner().invoke(app, ["resume", "--home", str(home)]).exit_code == 0
    node.wait_for("resumed")
    assert node.wait_for("trainer-ready")["step"] == last_step

    # The first is rejected, and the task begins again: without a pause, until the volunteer finishes.
    node.wait_for("trainer-ready", step=0)
    assert ask(home, Request(command="finish")).is_ok
    assert node.wait_end() == 0
    assert node.of("done")[-1]["text"] == "Finished, as asked."
    assert node.of("restarting") == []
    whole, early = (parse_chain((folder.path / "chain.json").read_bytes()) for folder, _ in units(home, coordinator))
    assert (whole.links[-1].step, len(node.of("verdict"))) == (600, 2)
    assert coordinator.wants[0].state == "paused"
    assert early.links == whole.links[: len(early.links)]


def units(home, coordinator):
    return Home(home).units(coordinator.run_id)
