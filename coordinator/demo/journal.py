"""Reads the JSON lines that a process writes, while it runs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Journal:
    """The events of one process.

    Args:
        path: File of JSON lines; may not exist yet.
    """

    path: Path
    events: list[dict[str, Any]] = field(default_factory=list)
    _offset: int = 0

    def read_new(self) -> list[dict[str, Any]]:
        """Events added since the last call; an incomplete last line is left for the next call."""
        if not self.path.is_file():
            return []
        with self.path.open("rb") as file:
            file.seek(self._offset)
            block = file.read()
        complete = block[: block.rfind(b"\n") + 1]
        self._offset += len(complete)
        new = [json.loads(line) for line in complete.splitlines() if line.startswith(b"{")]
        self.events += new
        return new

    def read_all(self, kind: str) -> list[dict[str, Any]]:
        """All events of a kind, with those added since the last call."""
        self.read_new()
        return self.all_of(kind)

    def last_of(self, kind: str) -> dict[str, Any] | None:
        """The latest event of a kind; None if there is none."""
        return next((e for e in reversed(self.events) if e.get("event") == kind), None)

    def all_of(self, kind: str) -> list[dict[str, Any]]:
        """All events of a kind, oldest first."""
        return [e for e in self.events if e.get("event") == kind]
