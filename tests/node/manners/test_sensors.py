"""Sensors on machines that are written into a folder, and on this one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paris.node.manners.sensors import (
    CpuTimes,
    amd_gpu_temperature_c,
    cpu_temperature_c,
    cpu_times,
    is_on_battery,
    others_share,
    running_programs,
)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def supplies(root: Path, **kinds: dict[str, str]) -> Path:
    files = {f"sys/class/power_supply/{n}/{key}": f"{v}\n" for n, kind in kinds.items() for key, v in kind.items()}
    return write(root, files)


LAPTOP = {"type": "Battery", "status": "Discharging"}
MOUSE = {"type": "Battery", "status": "Discharging", "scope": "Device"}


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ({"AC": {"type": "Mains", "online": "0"}, "BAT0": LAPTOP}, True),
        ({"AC": {"type": "Mains", "online": "1"}, "BAT0": {"type": "Battery", "status": "Charging"}}, False),
        ({"ucsi": {"type": "USB", "online": "1"}, "AC": {"type": "Mains", "online": "0"}, "BAT0": LAPTOP}, False),
        ({"BAT0": LAPTOP}, True),
        ({"BAT0": {"type": "Battery", "status": "Full"}}, False),
        ({"AC": {"type": "Mains", "online": "1"}}, False),
        ({"mouse": MOUSE}, None),
        ({"AC": {"type": "Mains", "online": "1"}, "mouse": MOUSE}, False),
        ({}, None),
    ],
)
def test_who_runs_on_battery(tmp_path, kinds, expected):
    assert is_on_battery(supplies(tmp_path, **kinds)) is expected


def test_a_program_is_known_by_its_name_or_its_file(tmp_path):
    root = write(
        tmp_path,
        {
            "proc/10/comm": "blender\n",
            "proc/10/cmdline": "/opt/blender\0--background\0",
            "proc/11/comm": "a-program-with-\n",  # the kernel keeps 15 letters
            "proc/12/comm": "Main\n",
            "proc/12/cmdline": "/opt/game/Game.x86_64\0",
            "proc/13/comm": "kworker/0:1\n",
            "proc/self-made/comm": "no-process\n",
        },
    )
    names = {"blender", "a-program-with-a-long-name", "Game.x86_64", "blend", "no-process", "x86_64"}
    assert running_programs(names, root) == {"blender", "a-program-with-a-long-name", "Game.x86_64"}
    assert running_programs((), root) == frozenset()


def processor(root: Path, busy: int, idle: int, ticks: dict[int, tuple[int, int]]) -> Path:
    """Processes as pid: (parent, ticks)."""
    files = {"proc/stat": f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1 1 1 1\n"}
    for pid, (parent, used) in ticks.items():
        files[f"proc/{pid}/stat"] = f"{pid} (a (bad) name) S {parent} 1 1 0 -1 0 0 0 0 0 {used} 7 0 0 20 0 1\n"
    return write(root, files)


def test_what_others_take_leaves_the_nodes_own_processes_out(tmp_path):
    before = cpu_times(5, processor(tmp_path, 1000, 1000, {1: (0, 10), 5: (1, 100), 6: (5, 200), 7: (6, 50)}))
    assert before == CpuTimes(1000, 2000, {5: 107, 6: 207, 7: 57})
    # Of 400 ticks 300 are busy: 150 of them the node's, 50 of a process that it started since.
    more = {1: (0, 160), 5: (1, 110), 6: (5, 290), 7: (6, 50), 8: (5, 43)}
    now = cpu_times(5, processor(tmp_path, 1300, 1100, more))
    assert others_share(before, now) == pytest.approx(150 / 400)
    assert others_share(now, now) is None


def test_without_proc_nothing_is_known_of_the_processor(tmp_path):
    assert cpu_times(5, tmp_path) is None
    assert cpu_temperature_c(tmp_path) is None


def test_the_hottest_sensor_counts(tmp_path):
    zones = {"0/temp": "45000\n", "1/temp": "61500\n", "2/temp": "\n", "3/temp": "-5000\n"}
    write(tmp_path, {f"sys/class/thermal/thermal_zone{name}": text for name, text in zones.items()})
    write(tmp_path, {"sys/class/drm/card0/device/hwmon/hwmon3/temp1_input": "72000\n"})
    assert cpu_temperature_c(tmp_path) == 61.5
    assert amd_gpu_temperature_c(tmp_path) == 72.0


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="Linux's /proc")
def test_this_machine_can_be_observed():
    times = cpu_times(os.getpid())
    assert 0 < times.own[os.getpid()] <= times.busy < times.total
    name = Path("/proc/self/comm").read_text().strip()
    assert running_programs([name, "no-such-program"]) == {name}
