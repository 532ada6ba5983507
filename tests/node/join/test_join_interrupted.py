"""A real join whose disk fills up, or whose whole process group is told to stop, and the same command again."""

from __future__ import annotations

import os
import resource
import signal
import sys

import pytest
from node_process import all_gone

from paris.node.errors import DiskFullError
from paris.node.machine.home import Home

pytestmark = pytest.mark.slow


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is Linux's")
def test_a_disk_that_fills_up_in_the_middle_loses_nothing(make_coordinator, start, tmp_path):
    coordinator = make_coordinator(120)
    first = start()
    first.wait_for("snapshot")
    # From now on nothing that the trainer writes grows a file, its log included: a full disk, for this process alone.
    resource.prlimit(first.trainer().pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    assert first.wait_end() == DiskFullError.exit_code
    (error,) = first.of("error")
    assert error["type"] == "DiskFullError"
    assert "No space left to write" in error["what"]
    assert "Free some space" in error["next_step"]
    assert first.of("restarting") == []
    saved = max(event["step"] for event in first.of("snapshot"))
    _, unit = Home(tmp_path / "home").unfinished(coordinator.run_id)
    assert unit.state == "training"

    second = start("--once", run=coordinator.run_id)
    assert second.wait_for("trainer-ready")["step"] >= saved
    assert second.wait_for("verdict")["accepted"]
    assert second.wait_end() == 0
    assert second.of("leased") == []
    assert "failed" not in {beat.state for beat in coordinator.heartbeats}
    assert len({beat.lease_id for beat in coordinator.heartbeats}) == 1


@pytest.mark.parametrize("number", [pytest.param(signal.SIGTERM, marks=pytest.mark.long), signal.SIGHUP])
def test_a_signal_to_the_whole_group_is_a_clean_stop(make_coordinator, start, tmp_path, number):
    coordinator = make_coordinator(100_000)
    node = start()
    node.wait_for("snapshot")
    children = node.children()
    os.killpg(node.process.pid, number)
    assert node.wait_end() == 0
    assert node.of("restarting") == []
    assert all_gone(children) == []
    folder, unit = Home(tmp_path / "home").unfinished(coordinator.run_id)
    assert unit.state == "training"
    # A stop that falls on a scheduled step leaves that step's snapshot and no pause.
    saved = [int(path.name.rpartition("-")[2]) for path in (folder.work / "snapshots").glob("*-*")]
    assert max(saved) >= max(event["step"] for event in node.of("snapshot"))
