"""Ends a child process when its parent ends, even after `kill -9`.

The child's standard input is a pipe from the parent. When the parent ends, the system closes the pipe; the child reads
the end of file and exits. This works on every system and needs no privileges.

The parent starts the child with `stdin=PIPE` and `child_environment()`; the child calls `exit_with_parent()`
first in its main function.
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
    """Environment of a child that ends with this process; start it with `stdin=PIPE`."""
    return {**os.environ, _VARIABLE: "stdin", **(extra or {})}


def exit_with_parent() -> None:
    """If started with `child_environment`, end this process when standard input closes.

    A thread then sends SIGTERM to the process, and ends it by force after 20 s. The variable is removed from the
    environment, so this process's own children do not inherit it.
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
