"""Device, memory and disk of this machine, without importing torch."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from paris.experts.errors import SettingsError as ModelSettingsError
from paris.experts.models.presets import ModelConfig
from paris.experts.training.needs import least_memory_bytes, num_parameters
from paris.node.errors import SettingsError, TaskTooBigError, TrainerError
from paris.node.machine.config import NodeConfig
from paris.node.machine.gpus import visible_gpus
from paris.protocol.errors import RecordError
from paris.protocol.run_records import RunSpec, Task
from paris.protocol.sizes import needs_of, of_size


@dataclass(frozen=True)
class Hardware:
    """Device, memory and disk, as a Want declares them."""

    device: str
    """cpu, cuda, cuda:N or mps: torch's name."""
    label: str
    """The device's name, for people."""
    memory_bytes: int
    """Memory in which the weights, gradients and optimizer state must fit."""
    disk_bytes: int
    """Free disk under the home, or the volunteer's limit."""
    gpu_uuid: str | None = None
    """Of the whole NVIDIA GPU that trains, as nvidia-smi takes it."""


def detect(config: NodeConfig, home: Path) -> Hardware:
    """Detect the device, memory and free disk.

    Args:
        config: The volunteer's settings: device and limits.
        home: A folder on the disk that counts.

    Raises:
        SettingsError: The requested device does not exist, or CUDA_VISIBLE_DEVICES hides it.
    """
    device, (label, memory) = _device(config.device)
    if device.startswith("cuda"):
        memory = int(memory * (config.gpu_memory_share or 1))
    if config.memory_limit_bytes is not None:
        memory = min(memory, config.memory_limit_bytes)
    existing = next(path for path in (home, *home.absolute().parents) if path.exists())
    disk = shutil.disk_usage(existing).free
    if config.cache_limit_bytes is not None:
        disk = min(disk, config.cache_limit_bytes)
    return Hardware(device, label, memory, disk, _gpu_uuid(device))


def require_fit(task: Task, spec: RunSpec, hardware: Hardware, size: int | None = None) -> None:
    """Refuse a task that does not fit this machine, also if it says that it fits: the model's shape decides.

    Args:
        task: That was leased.
        spec: The run.
        hardware: This machine.
        size: Of the lease.

    Raises:
        TaskTooBigError: It needs more memory or disk than there is; nothing was fetched or built.
        TrainerError: The lease's size is none of the run's, or its model none that this version can build.
    """
    needs = needs_of(task, size)
    try:
        model = ModelConfig.from_settings(of_size(spec, size).model)
    except (ModelSettingsError, RecordError) as error:
        raise TrainerError(f"The run's model cannot be built. {error.what}", "Tell the organiser.") from error
    if needs is None:
        raise TrainerError(f"{task.task_id} was leased in size {size}, which it does not have.", "Tell the organiser.")
    chosen = {name: str(spec.training[name]) for name in ("moments", "precision") if name in spec.training}
    computed = least_memory_bytes(model, **chosen)
    rows = (
        ("memory", max(needs.min_memory_bytes, computed), hardware.memory_bytes),
        ("free disk", needs.min_disk_bytes, hardware.disk_bytes),
    )
    for what, needed, there in rows:
        if needed > there:
            raise TaskTooBigError(
                f"{task.task_id} needs {gib(needed)} of {what}, this machine ({hardware.label}) has {gib(there)}.",
                "Join a run with a smaller model, or use a machine with more room.",
            )


def size_in_words(spec: RunSpec, size: int) -> str:
    """How large an expert of a smaller size is, for the volunteer.

    Args:
        spec: The run.
        size: Of a lease that `require_fit` accepted.
    """
    own, largest = (num_parameters(ModelConfig.from_settings(of_size(spec, n).model)) for n in (size, None))
    return f"The run's model is too large for this machine: it trains a smaller one, {own:,} of {largest:,} parameters."


def gib(num_bytes: int) -> str:
    """Bytes for people: '1.5 GiB', or MiB below 0.1 GiB."""
    return f"{num_bytes / 2**30:.1f} GiB" if num_bytes >= 2**30 / 10 else f"{num_bytes / 2**20:.1f} MiB"


def _device(wanted: str) -> tuple[str, tuple[str, int]]:
    """Torch's name of the device, and its own name and memory in bytes."""
    kind = wanted.partition(":")[0]
    if kind in ("auto", "cuda"):
        gpus = visible_gpus(os.environ)
        index = int(wanted.partition(":")[2] or 0)
        if index < len(gpus):
            return ("cuda" if kind == "auto" else wanted), (gpus[index].name, gpus[index].memory_bytes)
        if kind == "cuda":
            hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
            hint = "none is hidden" if hidden is None else f"CUDA_VISIBLE_DEVICES is {hidden!r}"
            raise SettingsError(
                f"No {wanted} device was found. Torch can use {len(gpus)} GPUs, {hint}.",
                "Join with --device cpu, or install the driver and its torch build.",
            )
    if kind in ("auto", "mps"):
        mps = _mps()
        if mps is not None:
            return "mps", mps
        if kind == "mps":
            raise SettingsError("No mps device was found.", "Join with --device cpu.")
    return "cpu", (_cpu_label(), system_memory_bytes())


def _gpu_uuid(device: str) -> str | None:
    kind, _, index = device.partition(":")
    gpus = visible_gpus(os.environ)[int(index or 0) :] if kind == "cuda" else []
    return gpus[0].uuid if gpus and gpus[0].uuid.startswith("GPU-") else None


def num_cores() -> int:
    """Physical cores, as many as threads are taken where the volunteer sets none."""
    import psutil

    return psutil.cpu_count(logical=False) or psutil.cpu_count() or 1


def _mps() -> tuple[str, int] | None:
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "Apple GPU", system_memory_bytes() * 3 // 4  # unified memory; the system needs the rest
    return None


def system_memory_bytes() -> int:
    """The machine's memory, or the container's limit where that is less."""
    import psutil

    total = int(psutil.virtual_memory().total)
    for path in (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        if path.exists():
            text = path.read_text("ascii").strip()
            return min(total, int(text)) if text.isdigit() else total
    return total


def _cpu_label() -> str:
    return f"{platform.machine()} CPU, {num_cores()} cores"
