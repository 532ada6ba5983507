"""What the process of one node of several is told: one JSON line on its standard input."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from paris.node.join.request import Request
from paris.protocol.logs import LogFormat


class NodeOrder(BaseModel):
    """What to join, and how long."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    request: Request
    max_tasks: int | None
    task_wait_s: float | None
    log_format: LogFormat
    """Of its log file."""
