"""What is asked of a join."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paris.node.machine.config import NodeConfig, load_config


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    run: str
    home: Path
    run_id: str | None
    flags: Mapping[str, Any]
    """Settings given as flags; None means not given."""
    invite: str | None = None
    """As `paris-coord invite` printed it."""

    def config(self) -> NodeConfig:
        """The settings; raises as `load_config`."""
        return load_config(self.home, os.environ, self.flags)
