"""What is asked of a join."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paris.node.machine.config import NodeConfig, load_config


@dataclass(frozen=True)
class Beside:
    """What a node has in common with the others of a join that takes several devices."""

    home: Path
    """The join's own: it has the settings and the tokens."""
    caches: tuple[Path, ...] = ()
    """Of the other nodes."""
    process_id: int | None = None
    """Of the join; what runs below it is the volunteer's own work. None: the node runs alone."""


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
    beside: Beside | None = None
    """Of a node of several."""

    @property
    def settings_home(self) -> Path:
        """The home with the settings and the tokens."""
        return self.home if self.beside is None else self.beside.home

    def config(self) -> NodeConfig:
        """The settings; raises as `load_config`."""
        return load_config(self.settings_home, os.environ, self.flags)
