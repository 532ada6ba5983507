"""Whether libp2p's daemon is installed: hivemind's wheels bring it for some systems only."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path


def installed_daemon() -> Path | None:
    """The daemon's file (p2pd), whether it may be executed or not; None without one. Imports no hivemind."""
    spec = find_spec("hivemind")
    folders = spec.submodule_search_locations if spec else None
    daemon = Path(next(iter(folders))) / "hivemind_cli" / "p2pd" if folders else None
    return daemon if daemon is not None and daemon.exists() else None


def can_start_daemon() -> bool:
    """Whether there is one that may be executed."""
    daemon = installed_daemon()
    return daemon is not None and os.access(daemon, os.X_OK)
