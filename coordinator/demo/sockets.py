"""Who was connected to whom while the experts trained, as the system sees it: looked at every two seconds.

Between experts nothing may pass. A trainer must have no internet socket at all, and no process of one volunteer a
connection with a process of another. Nothing may leave this machine either.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Any

import psutil

from paris.coordinator.children import Program

Address = tuple[str, int]


@dataclass
class SocketWatch:
    """Counts over all looks."""

    looks: int = 0
    """Looks at which a trainer was running."""
    trainer_sockets: int = 0
    """Internet sockets seen in trainers."""
    between_volunteers: int = 0
    """Connections seen between processes of two volunteers."""
    off_loopback: int = 0
    """Connections seen to anything but this machine's loopback."""

    def look(self, volunteers: dict[str, int]) -> None:
        """Look once.

        Args:
            volunteers: Name and process id of each volunteer's agent.
        """
        ends: dict[str, set[tuple[Address, Address]]] = {}
        is_training = False
        for name, process_id in volunteers.items():
            ends[name] = set()
            for process in _tree(process_id):
                connections = _connections(process)
                ends[name] |= {(tuple(c.laddr), tuple(c.raddr)) for c in connections if c.raddr}
                if Program.TRAINER in _command(process):
                    is_training = True
                    self.trainer_sockets += len(connections)
        self.looks += is_training
        self._count(ends)

    def as_dict(self) -> dict[str, int]:
        """The counts as plain data."""
        return asdict(self)

    def _count(self, ends: dict[str, set[tuple[Address, Address]]]) -> None:
        """A connection of two processes shows at both, with its ends exchanged."""
        everyone = [(name, here, there) for name, pairs in ends.items() for here, there in pairs]
        mirrored = {(there, here): name for name, here, there in everyone}
        self.between_volunteers += sum(mirrored.get((here, there), name) != name for name, here, there in everyone)
        self.off_loopback += sum(not ip_address(there[0]).is_loopback for _, _, there in everyone)


def _tree(process_id: int) -> list[psutil.Process]:
    try:
        top = psutil.Process(process_id)
        return [top, *top.children(recursive=True)]
    except psutil.Error:
        return []


def _connections(process: psutil.Process) -> list[Any]:
    try:
        return list(process.net_connections(kind="inet"))
    except psutil.Error:
        return []


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
