"""Processes for mutants: each is a fork, so that a mutant costs its tests and not the imports before them."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

FAILED, BROKEN, RELOAD = 1, 70, 71
"""Exit statuses of a fork: a test failed; it came to no tests; the module must be imported with the change."""
OPTIONS = ("-x", "-q", "-s", "--tb=no", "-p", "no:cacheprovider", "--timeout=0", "--hypothesis-seed=0")
"""Of every run of pytest here."""
_CPU_FACTOR, _CPU_EXTRA_S = 3.0, 6.0
"""A mutant may take so many times the processor time of the unchanged tests, and so much more; the kernel ends it."""
_WALL_FACTOR, _WALL_EXTRA_S = 15.0, 60.0
"""So for the time of the clock, for mutants that wait for ever: generous, since a busy machine is only slower."""


@dataclass
class Fork:
    """One process that runs tests."""

    pid: int
    ends_by: float
    started: float = field(default_factory=time.monotonic)


def fork(work: Callable[[], int], folder: Path, seconds: float | None) -> Fork:
    """Do something in a process of its own.

    Args:
        work: Returns the exit status.
        folder: Takes what it prints (`output`) and its tests' temporary files; made here.
        seconds: Processor time of the unchanged tests; None sets no limits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wall_s = 3600.0 if seconds is None else _WALL_FACTOR * seconds + _WALL_EXTRA_S
    sys.stdout.flush()
    if pid := os.fork():
        return Fork(pid, time.monotonic() + wall_s)
    code = BROKEN
    try:
        os.setsid()
        file = os.open(folder / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(folder)
        if seconds is not None:
            limit_s = int(_CPU_FACTOR * seconds + _CPU_EXTRA_S)
            resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s))
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def ended(running: Fork) -> int | None:
    """The exit status, or None while it runs; negative when a limit ended it. Leaves no process behind."""
    pid, status = os.waitpid(running.pid, os.WNOHANG)
    late = time.monotonic() > running.ends_by
    if not pid and not late:
        return None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    if not pid:
        os.waitpid(running.pid, 0)
        return -signal.SIGKILL
    return os.waitstatus_to_exitcode(status)


def run_all(starts: Iterator[tuple[int, Callable[[], Fork]]], jobs: int) -> Iterator[tuple[int, int, float]]:
    """Start forks, so many at a time, and yield the number, the exit status and the seconds of each as it ends."""
    forks: dict[int, Fork] = {}
    while True:
        while len(forks) < jobs and (item := next(starts, None)) is not None:
            forks[item[0]] = item[1]()
        if not forks:
            return
        for number, running in list(forks.items()):
            if (code := ended(running)) is not None:
                del forks[number]
                yield number, code, time.monotonic() - running.started
        time.sleep(0.02)
