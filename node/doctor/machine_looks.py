"""Versions, device, memory, and the owner's settings of when to train."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import time
from collections.abc import Iterator

from paris.node.devices.portions import machine_of, portions_here
from paris.node.doctor.finding import Finding, fine, problem, warning
from paris.node.doctor.known import Known
from paris.node.machine.hardware import detect, gib
from paris.node.manners.decision import unmeasured, why_pause
from paris.node.manners.nvidia import ask_nvidia
from paris.node.manners.watch import Sensors
from paris.protocol.dht.installed import can_start_daemon, installed_daemon
from paris.protocol.version import SOFTWARE_VERSION, UPGRADE, is_older

_DISTRIBUTION = "paris-swarm"
_SHOWN = ("torch", "hivemind", "huggingface_hub")
_LEAST = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?>=([0-9.]+)$")
_LEAST_FREE_BYTES = 2**30
_BETWEEN_LOOKS_S = 1.0


def versions(known: Known) -> Iterator[Finding]:
    """What is installed, against what this version of the node needs."""
    lacking = list(_lacking())
    if lacking:
        yield problem("versions", f"{'; '.join(lacking)}.", UPGRADE)
        return
    if not can_start_daemon():
        daemon = installed_daemon()
        where = "hivemind has no p2pd" if daemon is None else f"{daemon} may not be executed"
        yield problem(
            "versions", f"{where}: there is no libp2p daemon to run.", "pip install --force-reinstall hivemind"
        )
        return
    shown = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _SHOWN)
    yield fine("versions", f"paris-node {SOFTWARE_VERSION}, Python {platform.python_version()}, {shown}, p2pd")


def device(known: Known) -> Iterator[Finding]:
    """What would train, and a GPU that would not."""
    if len(known.config.devices) > 1:
        yield from _several(known)
        return
    hardware = known.hardware = detect(known.config, known.home.path)
    text = f"{hardware.device} ({hardware.label}), {gib(hardware.memory_bytes)} of memory for training"
    driver = ask_nvidia("--query-gpu=driver_version", "--format=csv,noheader")
    if hardware.device != "cpu":
        yield fine("device", f"{text}, driver {driver[0]}" if driver else text)
    elif known.config.device == "cpu" or driver is None:
        yield fine("device", text)
    elif driver:
        torch = importlib.metadata.version("torch")
        yield warning(
            "device",
            f"{text}. There is an NVIDIA GPU too, which torch {torch} does not use.",
            'Install torch\'s CUDA build, and see CUDA_VISIBLE_DEVICES; or set device = "cpu".',
        )
    else:
        yield warning(
            "device", f"{text}. nvidia-smi is installed, but finds no GPU.", "Repair the NVIDIA driver: run nvidia-smi."
        )


def _several(known: Known) -> Iterator[Finding]:
    """Each of the devices that the volunteer names; later looks are at the first, with its part of the machine."""
    machines = {part.name: machine_of(part, known.config, known.home) for part in portions_here(known.config)}
    first = next(iter(machines.values()))
    known.hardware, known.config = first.hardware, first.config
    for name, machine in machines.items():
        label, room = machine.hardware.label, gib(machine.hardware.memory_bytes)
        yield fine("device", f"{name} ({label}), {room} of memory for training, {machine.config.threads} threads")


def memory(known: Known) -> Iterator[Finding]:
    """The machine's memory, and what is free of it now."""
    import psutil

    seen = psutil.virtual_memory()
    text = f"{gib(seen.available)} of {gib(seen.total)} are free"
    if known.config.memory_limit_bytes is not None:
        text = f"{text}, limit {gib(known.config.memory_limit_bytes)}"
    if seen.available < _LEAST_FREE_BYTES:
        yield warning("memory", f"Only {text}.", "Close other programs.")
        return
    yield fine("memory", text)


def manners(known: Known) -> Iterator[Finding]:
    """Whether a node would train at this moment, by hours, battery, programs, use and heat."""
    hardware = known.hardware
    where = ("cpu", None) if hardware is None else (hardware.device, hardware.gpu_uuid)
    sensors = Sensors(known.config, *where)
    seen = sensors()
    if known.config.only_when_idle:  # the share of other programs takes two looks
        time.sleep(_BETWEEN_LOOKS_S)
        seen = sensors()
    if names := unmeasured(known.config, seen):
        what = f"Nothing on this machine measures what {', '.join(names)} is about."
        yield warning("manners", what, "Remove the setting: nothing follows from it here.")
    pause = why_pause(known.config, seen)
    if pause is not None:
        yield warning("manners", f"A node would not train now: {pause.text}.", "Wait, or change the setting.")
    elif not names:
        yield fine("manners", "a node would train now")


def _lacking() -> Iterator[str]:
    """Required libraries that are missing, or older than this version of the node needs."""
    for requirement in importlib.metadata.requires(_DISTRIBUTION) or []:
        found = _LEAST.match(requirement)
        if found is None:  # of an extra
            continue
        name, least = found.groups()
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield f"{name} is not installed"
            continue
        if is_older(version, least):
            yield f"{name} {version} is older than {least}"
