"""The GPUs that this process may use, without importing torch: their names, memory and order are torch's."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from paris.node.manners.nvidia import ask_nvidia


@dataclass(frozen=True)
class Gpu:
    """One GPU, as its driver describes it."""

    uuid: str
    name: str
    memory_bytes: int


def visible_gpus(environ: Mapping[str, str]) -> list[Gpu]:
    """The GPUs that the installed torch can use, in its order: cuda:0 first.

    Args:
        environ: CUDA_VISIBLE_DEVICES, or HIP_VISIBLE_DEVICES, selects GPUs by index or by the beginning of their UUID.
    """
    if importlib.metadata.version("torch").endswith("+cpu"):
        return []
    gpus = _nvidia_gpus()
    wanted = environ.get("CUDA_VISIBLE_DEVICES")
    if gpus is None:
        gpus, wanted = _amd_gpus(), environ.get("HIP_VISIBLE_DEVICES", wanted)
    slices = _slices() if any(gpu.uuid.startswith("GPU-") for gpu in gpus) else {}
    chosen = gpus if wanted is None else _selected(gpus, wanted, slices)
    # CUDA uses one slice in a process, and then no whole GPU: "MIG User Guide", CUDA Device Enumeration.
    parts = [slices[gpu.uuid][0] if gpu.uuid in slices else gpu for gpu in chosen]
    return [gpu for gpu in parts if gpu.uuid.startswith("MIG-")][:1] or parts


def _selected(gpus: list[Gpu], wanted: str, slices: Mapping[str, list[Gpu]]) -> list[Gpu]:
    """As CUDA reads CUDA_VISIBLE_DEVICES: everything after the first unknown entry is hidden.

    Source: "CUDA C++ Programming Guide", CUDA Environment Variables. A repeated entry, of which it says nothing, ends
    the list here.
    """
    chosen: list[Gpu] = []
    for entry in (part.strip() for part in wanted.split(",")):
        if entry.isdecimal():
            found = gpus[int(entry) : int(entry) + 1]
        elif entry.startswith("MIG-"):
            found = [piece for pieces in slices.values() for piece in pieces if piece.uuid.startswith(entry)]
        else:
            found = [gpu for gpu in gpus if entry.startswith("GPU-") and gpu.uuid.startswith(entry)]
        if len(found) != 1 or found[0] in chosen:
            break
        chosen += found
    return chosen


def _nvidia_gpus() -> list[Gpu] | None:
    """All GPUs in the order of their bus; None without a driver."""
    lines = ask_nvidia("--query-gpu=uuid,name,memory.total", "--format=csv,noheader,nounits")
    if lines is None:
        return None
    gpus = []
    for line in lines:
        try:
            uuid, name, mebibytes = (part.strip() for part in line.split(",", 2))
            gpus.append(Gpu(uuid, name, int(mebibytes) * 2**20))
        except ValueError:
            break  # a driver without a working device is the same as no GPU
    return gpus


def _slices() -> dict[str, list[Gpu]]:
    """Slices of GPUs in MIG mode, by the GPU's UUID; memory is that of the profile, such as "MIG 1g.10gb"."""
    slices: dict[str, list[Gpu]] = {}
    gpu = ""
    for line in ask_nvidia("-L") or []:
        if found := re.search(r"^GPU .*UUID: (GPU-[^)]+)\)", line):
            gpu = found[1]
        elif found := re.search(r"MIG \S*?([0-9]+)gb.*UUID: (MIG-[^)]+)\)", line):
            slices.setdefault(gpu, []).append(Gpu(found[2], "NVIDIA MIG device", int(found[1]) * 2**30))
    return slices


def _amd_gpus() -> list[Gpu]:
    files = sorted(Path("/sys/class/drm").glob("card*/device/mem_info_vram_total"))
    return [Gpu(str(path), "AMD GPU", int(path.read_text("ascii"))) for path in files]
