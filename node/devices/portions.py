"""What each node of a join with several devices gets: a name, a device, and its part of what they share."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from paris.node.errors import SettingsError
from paris.node.machine.config import NodeConfig
from paris.node.machine.hardware import detect, num_cores, system_memory_bytes
from paris.node.machine.home import Home
from paris.node.machine.machine import Machine

_LEAST_BYTES_PER_S = {"download_bytes_per_s": 1024, "hub_upload_bytes_per_s": 2**16}
"""Limits of all nodes together, and the least that a node may have."""
_LEAST_CACHE_BYTES = 2**20


@dataclass(frozen=True)
class Portion:
    """One node's part."""

    name: str
    """Of the node and its home: the device, such as "cuda:1"; further nodes of the CPU are "cpu-2" and so on."""
    settings: dict[str, Any]
    """Those that differ from the volunteer's."""


def portions(config: NodeConfig, cores: int, memory_bytes: int) -> list[Portion]:
    """Divide a machine among the devices that its volunteer names.

    Threads, the CPU's memory and all limits are divided equally. Only the first node listens, since one port takes one
    node; the pages have a port each.

    Args:
        config: The volunteer's settings.
        cores: Of the machine.
        memory_bytes: Of the machine.

    Raises:
        SettingsError: A GPU is named twice.
    """
    devices = ["cuda:0" if device == "cuda" else device for device in config.devices]
    counts = Counter(devices)
    for device, count in counts.items():
        if count > 1 and device != "cpu":
            raise SettingsError(f"{device} is named {count} times.", "Name each GPU once; cpu may be named repeatedly.")
    shared = _shared(config, len(devices), cores)
    on_cpu: dict[str, Any] = {}
    if counts["cpu"]:
        declared = memory_bytes if config.memory_limit_bytes is None else config.memory_limit_bytes
        on_cpu = {"memory_limit_bytes": min(declared, memory_bytes) // counts["cpu"]}
    seen: Counter[str] = Counter()
    made = []
    for index, device in enumerate(devices):
        seen[device] += 1
        settings = {**shared, "device": device, **(on_cpu if device == "cpu" else {})}
        if index:
            settings["host_dht"] = False
        if config.page_port:
            settings["page_port"] = min(config.page_port + index, 65535)
        made.append(Portion(device if seen[device] == 1 else f"{device}-{seen[device]}", settings))
    return made


def _shared(config: NodeConfig, count: int, cores: int) -> dict[str, Any]:
    settings: dict[str, Any] = {"threads": config.threads or max(1, cores // count)}
    if config.cache_limit_bytes is not None:
        settings["cache_limit_bytes"] = max(_LEAST_CACHE_BYTES, config.cache_limit_bytes // count)
    for name, least in _LEAST_BYTES_PER_S.items():
        if (limit := getattr(config, name)) is not None:
            settings[name] = max(least, limit // count)
    return settings


def portions_here(config: NodeConfig) -> list[Portion]:
    """`portions` of this machine; raises as it does."""
    return portions(config, num_cores(), system_memory_bytes())


def machine_of(portion: Portion, config: NodeConfig, home: Home) -> Machine:
    """The machine as one node has it.

    Args:
        portion: The node's part.
        config: The volunteer's settings.
        home: Of the join.

    Raises:
        SettingsError: There is no such device.
    """
    own = config.model_copy(update=portion.settings)
    return Machine(home.of_device(portion.name), own, detect(own, home.path))
