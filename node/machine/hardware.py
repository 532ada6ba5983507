"""Device, memory and disk of this machine, without importing torch."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from paris.node.errors import SettingsError, TaskTooBigError
from paris.node.machine.config import NodeConfig
from paris.protocol.records import Task

_ASK_TIMEOUT_S = 10


@dataclass(frozen=True)
class Hardware:
    """Device, memory and disk, as a Want declares them."""

    device: str
    """cpu, cuda or mps: torch's name."""
    label: str
    """The device's name, for people."""
    memory_bytes: int
    """Memory in which the weights, gradients and optimizer state must fit."""
    disk_bytes: int
    """Free disk under the home, or the volunteer's limit."""


def detect(config: NodeConfig, home: Path) -> Hardware:
    """Detect the device, memory and free disk.

    Args:
        config: The volunteer's settings: device and limits.
        home: A folder on the disk that counts.

    Raises:
        SettingsError: The requested device does not exist.
    """
    gpus = {"cuda": _cuda, "mps": _mps}
    device, label, memory = "cpu", _cpu_label(), _system_memory()
    for name, ask in gpus.items():
        if config.device in ("auto", name):
            found = ask()
            if found is not None:
                device, label, memory = name, found[0], found[1]
                break
            if config.device == name:
                raise SettingsError(
                    f"No {name} device was found.", "Join with --device cpu, or install the driver and its torch build."
                )
    if config.memory_limit_bytes is not None:
        memory = min(memory, config.memory_limit_bytes)
    existing = next(path for path in (home, *home.absolute().parents) if path.exists())
    disk = shutil.disk_usage(existing).free
    if config.cache_limit_bytes is not None:
        disk = min(disk, config.cache_limit_bytes)
    return Hardware(device, label, memory, disk)


def require_fit(task: Task, hardware: Hardware) -> None:
    """Refuse a task that does not fit this machine.

    Raises:
        TaskTooBigError: It needs more memory or disk than there is; nothing was fetched.
    """
    rows = (
        ("memory", task.min_memory_bytes, hardware.memory_bytes),
        ("free disk", task.min_disk_bytes, hardware.disk_bytes),
    )
    for what, needed, there in rows:
        if needed > there:
            raise TaskTooBigError(
                f"{task.task_id} needs {gib(needed)} of {what}, this machine ({hardware.label}) has {gib(there)}.",
                "Join a run with a smaller model, or use a machine with more room.",
            )


def gib(num_bytes: int) -> str:
    """Bytes for people: '1.5 GiB', or MiB below 0.1 GiB."""
    return f"{num_bytes / 2**30:.1f} GiB" if num_bytes >= 2**30 / 10 else f"{num_bytes / 2**20:.1f} MiB"


def _cuda() -> tuple[str, int] | None:
    """First GPU of NVIDIA or AMD that the installed torch can use: name and bytes."""
    if importlib.metadata.version("torch").endswith("+cpu"):
        return None
    tool = shutil.which("nvidia-smi")
    if tool is not None:
        command = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_TIMEOUT_S, check=True).stdout
            name, mebibytes = answer.splitlines()[0].rsplit(",", 1)
            return name.strip(), int(mebibytes) * 2**20
        except (OSError, subprocess.SubprocessError, ValueError, IndexError):
            return None  # a driver without a working device is the same as no GPU
    for path in sorted(Path("/sys/class/drm").glob("card*/device/mem_info_vram_total")):
        return "AMD GPU", int(path.read_text("ascii"))
    return None


def _mps() -> tuple[str, int] | None:
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "Apple GPU", _system_memory() * 3 // 4  # unified memory; the system needs the rest
    return None


def _system_memory() -> int:
    """The machine's memory, or the container's limit where that is less."""
    import psutil

    total = int(psutil.virtual_memory().total)
    for path in (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        if path.exists():
            text = path.read_text("ascii").strip()
            return min(total, int(text)) if text.isdigit() else total
    return total


def _cpu_label() -> str:
    import psutil

    return f"{platform.machine()} CPU, {psutil.cpu_count(logical=False) or psutil.cpu_count() or 1} cores"
