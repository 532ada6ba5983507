"""Times in the form of the Hub's API."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp(at: float) -> str:
    """UTC seconds as ISO 8601 with milliseconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
