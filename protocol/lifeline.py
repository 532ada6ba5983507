"""A child process ends with its parent, however the parent ends.

The parent keeps the write end of a pipe that is the child's standard input. When the parent dies, the system closes
it, the child reads the end of file and ends itself. Works on every system, needs no privilege, survives kill -9.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

_FORCE_AFTER_S = 20.0


def end_with_parent(*, at_once: bool = False) -> None:
    """Watch standard input from a thread and end this process when it closes.

    Called once, first thing in a child's main.

    Args:
        at_once: End without clean-up; otherwise as by SIGTERM, and by force if that takes too long.
    """
    threading.Thread(target=_watch, args=(at_once,), daemon=True, name="lifeline").start()


def _watch(at_once: bool) -> None:
    descriptor = sys.stdin.fileno()
    while os.read(descriptor, 4096):
        continue
    if at_once:
        os._exit(1)
    threading.Timer(_FORCE_AFTER_S, os._exit, args=(1,)).start()
    os.kill(os.getpid(), signal.SIGTERM)
