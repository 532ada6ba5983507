"""The volunteer's machine as the work needs it: home folder, settings and hardware."""

from __future__ import annotations

from dataclasses import dataclass

from paris.node.machine.config import NodeConfig
from paris.node.machine.hardware import Hardware
from paris.node.machine.home import Home


@dataclass(frozen=True)
class Machine:
    """One machine and what its owner allows on it."""

    home: Home
    config: NodeConfig
    hardware: Hardware
