"""Battery, programs, processor and temperatures, from /sys and /proc; None where there is no such sensor.

Every function takes the root that holds `sys` and `proc`, so that a test can show it any machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
_COMM_LETTERS = 15
"""The kernel keeps so much of a program's name."""


def is_on_battery(root: Path = ROOT) -> bool | None:
    """Whether no mains supply is connected; without one that is known, whether a battery of the system discharges."""
    supplies = [
        _read_all(path, "type", "online", "status", "scope") for path in _listed(root / "sys/class/power_supply")
    ]
    mains = [supply["online"] for supply in supplies if supply["type"] in ("Mains", "USB") and supply["online"]]
    batteries = [
        supply["status"] for supply in supplies if supply["type"] == "Battery" and supply["scope"] != "Device"
    ]  # scope Device: of a mouse or a headset
    if not batteries:
        return False if mains else None
    return "1" not in mains if mains else "Discharging" in batteries


def running_programs(names: Iterable[str], root: Path = ROOT) -> frozenset[str]:
    """Those of the names that are the name of a running process, or of the file that it runs."""
    wanted = {name: name[:_COMM_LETTERS] for name in names}
    if not wanted:
        return frozenset()
    running: set[str] = set()
    for folder in _processes(root):
        running.add(_read(folder / "comm"))
        running.add(_read(folder / "cmdline").partition("\0")[0].rpartition("/")[2])
    return frozenset(name for name, short in wanted.items() if name in running or short in running)


@dataclass(frozen=True)
class CpuTimes:
    """Processor time since the system started, in the kernel's ticks."""

    busy: int
    total: int
    own: dict[int, int]
    """Of one process and those below it, by process id."""


def cpu_times(pid: int, root: Path = ROOT) -> CpuTimes | None:
    """Read the processor times, those of a process tree apart.

    Args:
        pid: The root of the tree.
        root: Of the file system.
    """
    fields = [int(part) for part in _read(root / "proc/stat").partition("\n")[0].split()[1:9]]
    if len(fields) < 8:
        return None
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for folder in _processes(root):
        # The name, in brackets, may hold spaces and brackets.
        after = _read(folder / "stat").rpartition(")")[2].split()
        if len(after) > 12:
            parents[int(folder.name)] = int(after[1])
            ticks[int(folder.name)] = int(after[11]) + int(after[12])
    tree = {pid}
    while grown := {child for child, parent in parents.items() if parent in tree} - tree:
        tree |= grown
    idle = fields[3] + fields[4]
    return CpuTimes(sum(fields) - idle, sum(fields), {member: ticks[member] for member in tree if member in ticks})


def others_share(before: CpuTimes, now: CpuTimes) -> float | None:
    """Share of the whole processor that other programs took between two looks, 0 to 1."""
    if now.total <= before.total:
        return None
    own = sum(ticks - before.own.get(pid, 0) for pid, ticks in now.own.items())
    return min(1.0, max(0.0, (now.busy - before.busy - own) / (now.total - before.total)))


def cpu_temperature_c(root: Path = ROOT) -> float | None:
    """The hottest of the system's thermal zones."""
    return _hottest(root.glob("sys/class/thermal/thermal_zone*/temp"))


def amd_gpu_temperature_c(root: Path = ROOT) -> float | None:
    """The hottest sensor of the AMD GPUs."""
    return _hottest(root.glob("sys/class/drm/card*/device/hwmon/hwmon*/temp*_input"))


def _hottest(files: Iterable[Path]) -> float | None:
    readings = [_read(file) for file in files]
    return max((int(text) / 1000 for text in readings if text.lstrip("-").isdecimal()), default=None)


def _processes(root: Path) -> Iterator[Path]:
    return (folder for folder in _listed(root / "proc") if folder.name.isdecimal())


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _read_all(folder: Path, *names: str) -> dict[str, str]:
    return {name: _read(folder / name) for name in names}


def _read(path: Path) -> str:
    """Empty if it cannot be read: a process has ended, a sensor is asleep."""
    try:
        return path.read_bytes().decode("utf-8", "replace").strip()
    except OSError:
        return ""
