"""How often the machine is looked at, the GPU's power limit, and sleep."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paris.node.manners.awake import kept_awake
from paris.node.manners.decision import Observed
from paris.node.manners.logind import has_input
from paris.node.manners.nvidia import GpuReading, power_limit, read_gpu
from paris.node.manners.settings import Manners
from paris.node.manners.watch import Sensors, Watch

NOON = 1_700_000_000.0


def tool(folder: Path, name: str, script: str, monkeypatch) -> None:
    """A program of this name, first in PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_the_machine_is_looked_at_every_few_seconds_however_often_one_asks():
    now, looks = [0.0], []

    def look() -> Observed:
        looks.append(now[0])
        return Observed(NOON, is_on_battery=now[0] < 8)

    watch = Watch(Manners(not_on_battery=True), look, lambda: now[0])
    reasons = []
    for second in range(12):
        now[0] = float(second)
        reasons.append(watch.why_paused() is not None)
    assert looks == [0.0, 5.0, 10.0]
    assert reasons == [True] * 10 + [False] * 2


def test_only_what_is_set_is_measured():
    assert Sensors(Manners(), "cpu", None, lambda: NOON)() == Observed(NOON)


def test_a_machine_that_was_used_is_remembered(tmp_path, monkeypatch):
    tool(tmp_path / "bin", "busctl", "echo 'b false'", monkeypatch)
    now = [NOON]
    look = Sensors(Manners(only_when_idle=True), "cpu", None, lambda: now[0])
    assert look().in_use_at == NOON
    tool(tmp_path / "bin", "busctl", "echo 'b true'", monkeypatch)
    now[0] += 60
    assert has_input() is False
    assert look().in_use_at >= NOON


def test_without_logind_nothing_is_known_of_the_keyboard(tmp_path, monkeypatch):
    tool(tmp_path / "bin", "busctl", "exit 1", monkeypatch)
    assert has_input() is None


SMI = """
case "$*" in
    *power.limit*) cat "$LIMIT" ;;
    *temperature.gpu*) echo "71, 210.53" ;;
    *--power-limit=*) [ -z "$REFUSES" ] || exit 4; echo "${2#--power-limit=}" > "$LIMIT"; echo "Power limit was set" ;;
esac
"""


@pytest.fixture
def gpu_limit(tmp_path, monkeypatch) -> Path:
    """The power limit of a GPU whose nvidia-smi is a script."""
    limit = tmp_path / "limit"
    limit.write_text("300.00\n")
    monkeypatch.setenv("LIMIT", str(limit))
    tool(tmp_path / "bin", "nvidia-smi", SMI, monkeypatch)
    return limit


def test_a_power_limit_is_set_and_taken_back(gpu_limit):
    told: list[str] = []
    with power_limit("GPU-aaaa", 200, told.append):
        assert gpu_limit.read_text() == "200\n"
    assert gpu_limit.read_text() == "300\n"
    assert told == []


def test_without_the_rights_the_volunteer_learns_how_to_set_it_and_training_goes_on(gpu_limit, monkeypatch):
    monkeypatch.setenv("REFUSES", "1")
    told: list[str] = []
    with power_limit("GPU-aaaa", 200, told.append):
        pass
    assert gpu_limit.read_text() == "300.00\n"
    assert "sudo nvidia-smi --id=GPU-aaaa --power-limit=200" in told[0]


def test_temperature_and_power_of_a_gpu_are_read(gpu_limit):
    assert read_gpu("GPU-aaaa") == GpuReading(71.0, 210.53)
    assert Sensors(Manners(max_temperature_c=70), "cuda", "GPU-aaaa", lambda: NOON)().temperature_c == 71.0


def test_sleep_is_held_off_by_a_child_that_ends_with_the_block(tmp_path, monkeypatch):
    monkeypatch.setenv("SAID", str(tmp_path / "said"))
    script = 'echo "$@" > "$SAID.part"; mv "$SAID.part" "$SAID"; for last; do :; done; "$last"; echo over >> "$SAID"'
    tool(tmp_path / "bin", "systemd-inhibit", script, monkeypatch)
    with kept_awake(True, tmp_path):
        pass
    said = (tmp_path / "said").read_text()
    assert "--what=sleep" in said
    assert said.endswith("over\n")
    (tmp_path / "said").unlink()
    for wanted, booted in ((False, tmp_path), (True, tmp_path / "none")):
        with kept_awake(wanted, booted):
            pass
    assert not (tmp_path / "said").exists()
