"""What the processes say as JSON lines, read while they run and summed up at the end."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Journal:
    """Follows one process's JSON lines.

    Args:
        path: The file that they are written to.
    """

    path: Path
    events: list[dict[str, Any]] = field(default_factory=list)
    _offset: int = 0

    def read_new(self) -> list[dict[str, Any]]:
        """The whole lines that were added since the last call; a half-written one waits for its end."""
        if not self.path.is_file():
            return []
        with self.path.open("rb") as file:
            file.seek(self._offset)
            block = file.read()
        whole = block[: block.rfind(b"\n") + 1]
        self._offset += len(whole)
        new = [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]
        self.events += new
        return new

    def last(self, event: str) -> dict[str, Any] | None:
        """The newest event of a kind; None where there was none."""
        return next((e for e in reversed(self.events) if e.get("event") == event), None)

    def all(self, event: str) -> list[dict[str, Any]]:
        """Every event of a kind, oldest first."""
        return [e for e in self.events if e.get("event") == event]
