"""Requests and replies on the control socket: one JSON object a line, one request a connection.

{"version": 1, "command": "pause", "until": 1760007200.0}
{"version": 1, "is_ok": true, "text": "Paused: you asked for it, until 18:40.", "status": {...}}
{"version": 1, "is_ok": false, "text": "...", "next_step": "..."}
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

VERSION = 1
MAX_LINE_BYTES = 2**16
Command = Literal["pause", "resume", "finish", "leave", "status"]


class Request(BaseModel):
    """What another shell asks of the node."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    version: Literal[1] = 1
    command: Command
    until: Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)] | None = None
    """Of `pause`: UTC seconds at which it ends."""


class Reply(BaseModel):
    """The node's answer. Fields that a newer node adds are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    version: int = VERSION
    is_ok: bool = True
    text: str
    """One sentence."""
    next_step: str = ""
    """Of a refusal."""
    status: dict[str, Any] = {}
    """Fields of `paris.node.view.board.NodeStatus`."""
