"""Counts connections during training, as the system lists them.

A trainer must have no internet socket, volunteers must have no connections with each other, and no connection may
leave this machine.
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
    """Sums over all looks; a look is one inspection of all processes."""

    looks: int = 0
    """Looks while a trainer was running."""
    trainer_sockets: int = 0
    """Internet sockets of trainers."""
    between_volunteers: int = 0
    """Connection ends between processes of two volunteers; each connection has two ends."""
    off_loopback: int = 0
    """Connections to addresses other than loopback."""

    def look(self, volunteers: dict[str, int]) -> None:
        """Inspect the connections of all volunteers' processes once.

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
        """A connection between two processes is listed by both, with local and remote address exchanged."""
        connections = [(name, local, remote) for name, pairs in ends.items() for local, remote in pairs]
        mirrored = {(remote, local): name for name, local, remote in connections}
        self.between_volunteers += sum(
            mirrored.get((local, remote), name) != name for name, local, remote in connections
        )
        self.off_loopback += sum(not ip_address(remote[0]).is_loopback for _, _, remote in connections)


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
