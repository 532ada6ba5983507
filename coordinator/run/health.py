"""How the running service feels: figures that no table of the state has, for the page and /metrics.

<run>/health.json    Health; replaced by the service after a step, at most every five seconds
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from paris.experts.files import write_whole

FILE = "health.json"


class Health(BaseModel):
    """Figures of one moment; counts are since the service's start."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal[1] = 1
    at: float
    """UTC seconds."""
    started_at: float
    """UTC seconds."""
    tick_s: float
    """Duration of the last step: observing, deciding, saving, publishing."""
    num_peers: int
    """Peers of the DHT that the coordinator's peer knows."""
    num_refused_records: int
    """Records of the DHT that it refused."""
    num_verifications: int
    """Verifications that ended, with a verdict or without."""
    verification_s: float
    """Their durations, in all."""


def write_health(run_dir: Path, health: Health) -> None:
    """Replace the file; errors as of `write_whole`."""
    write_whole(run_dir / FILE, health.model_dump_json().encode())


def read_health(run_dir: Path) -> Health | None:
    """The figures; None where no service has run, or one of another version."""
    try:
        return Health.model_validate_json((run_dir / FILE).read_bytes())
    except (OSError, ValidationError):
        return None
