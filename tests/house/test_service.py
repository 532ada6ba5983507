"""The systemd unit: accepted by systemd, shut off from the machine, and running a command that exists."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest
from command_lines import why_not_a_command
from deadlines import DEADLINE_S
from documents import ROOT

UNIT = ROOT / "systemd" / "paris-node.service"
PROGRAM = "/usr/local/bin/paris-node"
MOST_EXPOSED = "25"
"""Tenths; of systemd's scale from 0 to 10."""
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed: apt-get install systemd"
)


def unit() -> configparser.ConfigParser:
    read = configparser.ConfigParser(strict=False, interpolation=None)
    read.optionxform = str
    read.read_string(UNIT.read_text("utf-8"))
    return read


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *words], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path):
    there = tmp_path / UNIT.name
    there.write_text(UNIT.read_text("utf-8").replace(PROGRAM, shutil.which("true") or "/bin/true"), "utf-8")
    answer = analyze("verify", str(there))
    assert (answer.returncode, [line for line in answer.stderr.splitlines() if str(there) in line]) == (0, [])


@needs_systemd
def test_the_unit_is_shut_off_from_the_machine():
    answer = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(UNIT))
    assert answer.returncode == 0, answer.stdout[-500:]


def test_the_unit_runs_a_command_that_exists_and_leaves_the_trainer_time_to_save():
    service = unit()["Service"]
    program, _, words = service["ExecStart"].partition(" ")
    assert program == PROGRAM
    assert why_not_a_command(f"paris-node {words}") is None
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) > 60
