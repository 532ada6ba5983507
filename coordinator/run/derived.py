"""Secrets that follow from the run's key: the same after a restart, and known to nobody else."""

from __future__ import annotations

import hashlib
from typing import Protocol, runtime_checkable

from paris.coordinator.run.directory import PRIVATE_KEY, RunDir

PURPOSES = frozenset({"verification", "draws"})


@runtime_checkable
class Deriving(Protocol):
    """An identity that derives its secrets itself, since its key is elsewhere."""

    def derived_secret(self, purpose: str) -> bytes:
        """32 bytes."""


def derived_secret(run: RunDir, purpose: str) -> bytes:
    """32 bytes derived from the run's private key.

    Args:
        run: Holds the key, or asks who does.
        purpose: One of PURPOSES.
    """
    if isinstance(run.identity, Deriving):
        return run.identity.derived_secret(purpose)
    secret = (run.path / PRIVATE_KEY).read_bytes()
    return hashlib.sha256(purpose.encode() + b"\n" + secret).digest()
