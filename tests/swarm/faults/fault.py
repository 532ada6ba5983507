"""What a kind of fault is."""

from __future__ import annotations

import os
import sys

from world import LEASED, SUBMITTED, World


class Fault:
    """One kind. A fault is made for one run and played once."""

    name = ""
    does = ""
    """What is done, for the table."""
    first, last = LEASED, SUBMITTED
    """Moments between which it begins."""
    may_lose = 1
    """Snapshot intervals whose steps it may cost."""

    def why_not(self) -> str | None:
        """Why this machine cannot play it, or None."""
        return None

    def prepare(self, world: World) -> None:
        """Before anything starts."""

    def inject(self, world: World) -> str:
        """Begin; what was done, empty where it came too late."""
        raise NotImplementedError

    def heal(self, world: World) -> None:
        """End it, and do what a person would do who finds a program ended."""


def why_no_namespace() -> str | None:
    """Why mounts and packet filters of this process's own cannot be made."""
    return None if sys.platform == "linux" and os.geteuid() == 0 else "mounts and packet filters take root on Linux"
