"""Versions on the wire. A change that an older peer would misread raises PROTOCOL_VERSION."""

from __future__ import annotations

from paris.protocol.errors import VersionError

PROTOCOL_VERSION = 1
SOFTWARE_VERSION = "0.1.0"


def require_protocol(theirs: int) -> None:
    """Refuse a record of another protocol version.

    Args:
        theirs: Version found in the record.

    Raises:
        VersionError: The versions differ; the message says which side must update.
    """
    if theirs > PROTOCOL_VERSION:
        raise VersionError(
            f"The record speaks protocol version {theirs}, this software speaks {PROTOCOL_VERSION}.",
            "Update this side: pip install --upgrade paris-swarm.",
        )
    if theirs < PROTOCOL_VERSION:
        raise VersionError(
            f"The record speaks protocol version {theirs}, this software speaks {PROTOCOL_VERSION}.",
            "The other side must update; ask the run's organiser.",
        )
