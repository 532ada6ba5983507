"""Processes that are killed or suspended."""

from __future__ import annotations

import psutil
from deadlines import DEADLINE_S
from fault import Fault
from swarm import wait_until
from world import ENDED, READY, SUBMITTED, UPLOADING, World

TRAINER, VERIFIER, HUB, DAEMON = "paris.node.trainer", "paris.coordinator.verify", "paris.coordinator.page", "p2pd"
"""Words of command lines; the embedded Hub is in the process of the page."""


class Killed(Fault):
    """kill -9 of programs, which are started again."""

    def __init__(self, name: str, *roles: str) -> None:
        self.name, self._roles = name, roles
        self.does = f"kill -9 of {' and '.join(roles)}; started again"

    def inject(self, world: World) -> str:
        """Kill them at once."""
        world.remember()
        for role in self._roles:
            world.of(role).kill()
        return self.does

    def heal(self, world: World) -> None:
        """Start them again."""
        for role in reversed(self._roles):
            world.start_again(role)


class ChildKilled(Fault):
    """kill -9 of a process below a program, which starts it again itself."""

    def __init__(self, name: str, role: str, word: str, first: int, last: int) -> None:
        self.name, self._role, self._word = name, role, word
        self.first, self.last = first, last
        self.does = f"kill -9 below the {role}, nothing else"

    def inject(self, world: World) -> str:
        """Kill it as soon as it is there."""
        found: list[psutil.Process] = []

        def is_there() -> bool:
            child = world.child(self._role, self._word)
            found.extend([child] if child else [])
            return bool(found) or world.reached() >= ENDED

        wait_until(is_there, DEADLINE_S, f"a process {self._word}")
        moment = world.reached()
        if not found or moment >= ENDED:
            return ""
        try:
            found[0].kill()
        except psutil.NoSuchProcess:
            return ""
        return f"killed at moment {moment}"


class Suspended(Fault):
    """SIGSTOP of a program and all below it, for seconds."""

    def __init__(self, name: str, role: str) -> None:
        self.name, self._role = name, role
        self._stopped: list[psutil.Process] = []
        self.does = f"{role} and all below it stand still for 1 to 8 s"

    def inject(self, world: World) -> str:
        """Stop them."""
        world.remember()
        for process in world.of(self._role).tree():
            process.suspend()
            self._stopped.append(process)
        return f"{len(self._stopped)} processes for {world.last(1, 8):.1f} s" if self._stopped else ""

    def heal(self, world: World) -> None:
        """Let them go on."""
        for process in self._stopped:
            try:
                process.resume()
            except psutil.NoSuchProcess:  # its parent ended it, as it should where that was killed
                continue


PROCESS_FAULTS = {
    "node killed": lambda name: Killed(name, "node"),
    "coordinator killed": lambda name: Killed(name, "coordinator"),
    "both killed": lambda name: Killed(name, "node", "coordinator"),
    "trainer killed": lambda name: ChildKilled(name, "node", TRAINER, READY, UPLOADING - 2),
    "verifier killed": lambda name: ChildKilled(name, "coordinator", VERIFIER, SUBMITTED, SUBMITTED),
    "Hub killed": lambda name: ChildKilled(name, "coordinator", HUB, 0, SUBMITTED),
    "node's DHT daemon killed": lambda name: ChildKilled(name, "node", DAEMON, 0, SUBMITTED),
    "coordinator's DHT daemon killed": lambda name: ChildKilled(name, "coordinator", DAEMON, 0, SUBMITTED),
    "node suspended": lambda name: Suspended(name, "node"),
    "coordinator suspended": lambda name: Suspended(name, "coordinator"),
}
