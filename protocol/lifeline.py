"""Ends a child process when its parent ends, even after `kill -9`.

The child's standard input is a pipe from the parent. When the parent ends, the system closes the pipe; the child reads
the end of file and exits. This works on every system and needs no privileges.

The parent starts the child with `stdin=PIPE` and `child_environment()`; the child calls `exit_with_parent()`
first in its main function, or iterates over `lines_from_parent()` where the parent tells it what to do.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping

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


def lines_from_parent(idle_s: float) -> Iterator[bytes]:
    """The lines that the parent writes; when it closes standard input, this process ends as with `exit_with_parent`.

    Args:
        idle_s: The iteration ends after so many seconds without a line.
    """
    os.environ.pop(_VARIABLE, None)
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_watch, args=(sys.stdin.fileno(), lines.put), daemon=True, name="lifeline").start()
    while True:
        try:
            yield lines.get(timeout=idle_s)
        except queue.Empty:
            return


def _watch(descriptor: int, on_line: Callable[[bytes], None] = lambda line: None) -> None:
    rest = b""
    while data := os.read(descriptor, 4096):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            on_line(line)
    force = threading.Timer(_FORCE_AFTER_S, os._exit, args=(1,))
    force.daemon = True
    force.start()
    os.kill(os.getpid(), signal.SIGTERM)
