"""A child process ends with its parent, however the parent ends.

The parent keeps the write end of a pipe that is the child's standard input. When the parent dies, the system closes
it, the child reads the end of file and ends itself. Works on every system, needs no privilege, survives kill -9.

The parent starts the child with `stdin=PIPE` and `child_environment()`; the child calls `end_with_parent_if_asked()`
first thing in its main.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping

_VARIABLE = "PARIS_LIFELINE"
_FORCE_AFTER_S = 20.0


def child_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment for a child that shall end with this process; its standard input must be a pipe of ours."""
    return {**os.environ, _VARIABLE: "stdin", **(extra or {})}


def end_with_parent_if_asked() -> None:
    """Watch standard input from a thread, where the parent asked for it, and end this process when it closes.

    The end is that by SIGTERM, and by force if that takes too long. What is started from here without a lifeline of
    its own is not asked.
    """
    if os.environ.pop(_VARIABLE, None) is not None:
        threading.Thread(target=_watch, args=(sys.stdin.fileno(),), daemon=True, name="lifeline").start()


def _watch(descriptor: int) -> None:
    while os.read(descriptor, 4096):
        continue
    force = threading.Timer(_FORCE_AFTER_S, os._exit, args=(1,))
    force.daemon = True
    force.start()
    os.kill(os.getpid(), signal.SIGTERM)
