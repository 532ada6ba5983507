"""Protocol and software version. Any change that an older peer would misread increments PROTOCOL_VERSION."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache

from paris.protocol.errors import VersionError

PROTOCOL_VERSION = 1
SOFTWARE_VERSION = "0.1.0"
UPGRADE = "Update this side: pip install --upgrade paris-swarm."
"""The next step of every error that a newer version would not have."""


def version_printer(program: str) -> Callable[[bool], None]:
    """The callback of a program's `--version`: prints one line and exits with 0."""

    def show(is_asked: bool) -> None:
        if is_asked:
            print(f"{program} {SOFTWARE_VERSION}")
            sys.exit(0)

    return show


def is_older(version: str, than: str) -> bool:
    """Whether a software version comes before another; parts that are no numbers, as in 0.3.0rc1, count as none."""
    return _numbers(version) < _numbers(than)


def require_software(least: str) -> None:
    """Refuse a run that needs a newer node.

    Args:
        least: The oldest version that may take part.

    Raises:
        VersionError: This node must be updated.
    """
    if is_older(SOFTWARE_VERSION, least):
        raise VersionError(f"The run asks for paris-node {least} or newer, this is {SOFTWARE_VERSION}.", UPGRADE)


def require_protocol(theirs: int) -> None:
    """Check the protocol version of a record.

    Args:
        theirs: The record's version.

    Raises:
        VersionError: The versions differ; the message says which side must update.
    """
    if theirs > PROTOCOL_VERSION:
        raise VersionError(
            f"The record speaks protocol version {theirs}, this software speaks {PROTOCOL_VERSION}.",
            UPGRADE,
        )
    if theirs < PROTOCOL_VERSION:
        raise VersionError(
            f"The record speaks protocol version {theirs}, this software speaks {PROTOCOL_VERSION}.",
            "The other side must update; ask the run's organiser.",
        )


@lru_cache(maxsize=256)
def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
