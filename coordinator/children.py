"""Child processes of the coordinator: spawned, logged, never left behind; and the programs that they run.

The standard input of each child is a pipe whose other end this process holds. When this process ends, in any way, the
system closes the pipe and the child ends itself (`lifeline.py` of the protocol package).
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from enum import StrEnum
from pathlib import Path
from typing import IO, cast

from paris.coordinator.errors import WorkerError
from paris.protocol.child_output import ChildOutput
from paris.protocol.lifeline import child_environment

logger = logging.getLogger(__name__)
_STOP_TIMEOUT_S = 15.0


class Program(StrEnum):
    """Modules that run as processes of their own: `python -m MODULE`. A test checks that each exists."""

    COORD = "paris.coordinator.cli.app"
    PAGE = "paris.coordinator.page"
    VERIFY = "paris.coordinator.verify"
    ROUTER = "paris.coordinator.training.router"
    RELEASE = "paris.coordinator.release"
    GRIDS = "paris.coordinator.training.grids"
    LANE_MEANS = "paris.coordinator.training.lane_means"
    MEASURE = "paris.coordinator.planning.measuring"
    TRY = "paris.coordinator.trying"
    NODE = "paris.node.cli"
    CHEAT = "paris.coordinator.demo.cheat"
    TRAINER = "paris.node.trainer.process"


class Children:
    """Starts child processes, which end with this one.

    Args:
        log_dir: Folder of their output, one file a name.
    """

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._running: dict[subprocess.Popen[bytes], ChildOutput] = {}
        self._lock = threading.Lock()
        self.is_stopping = False

    def spawn(
        self, name: str, program: Program, *arguments: str, env: dict[str, str] | None = None, answers: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start `python -m program arguments` with its output in `log_dir/name.log`, which is bounded.

        Args:
            name: Of the log.
            program: The module.
            arguments: Of the program.
            env: Added to the environment.
            answers: The caller reads the child's standard output; the log receives standard error alone.
        """
        self._log_dir.mkdir(parents=True, exist_ok=True)
        with self._lock:
            if self.is_stopping:
                raise WorkerError(f"{name} was not started: the coordinator is stopping.")
            child = subprocess.Popen(
                [sys.executable, "-m", program, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if answers else subprocess.STDOUT,
                env=child_environment(env),
                # Ctrl-C reaches this process alone, which ends its children in order.
                start_new_session=True,
            )
            logged = cast(IO[bytes], child.stderr if answers else child.stdout)
            self._running[child] = ChildOutput(logged, self._log_dir / f"{name}.log")
        logger.info("Started %s as process %d.", name, child.pid)
        return child

    def run(self, name: str, program: Program, *arguments: str, env: dict[str, str] | None = None) -> None:
        """Start a child and wait for its end.

        Raises:
            WorkerError: Its exit code is not 0; the message has the last line of its output.
        """
        child = self.spawn(name, program, *arguments, env=env)
        code = child.wait()
        last_line = self.forget(child)
        logger.info("%s ended with code %d.", name, code)
        if code != 0:
            raise WorkerError(
                f"{name} ended with code {code}: {last_line or 'no output'}", f"See {self._log_dir / name}.log"
            )

    def forget(self, child: subprocess.Popen[bytes]) -> str:
        """Close the pipes of a child that has ended; returns the last line of its output."""
        with self._lock:
            output = self._running.pop(child, None)
        if child.stdin is not None:
            child.stdin.close()
        if child.stderr is not None and child.stdout is not None:  # its answers
            child.stdout.close()
        if output is None:
            return ""
        output.wait()
        return output.last_line

    def output(self, child: subprocess.Popen[bytes]) -> str:
        """The beginning of what a child has written; all of its output once it has ended."""
        with self._lock:
            output = self._running.get(child)
        if output is None:
            return ""
        if child.poll() is not None:
            output.wait()
        return output.beginning

    def stop(self) -> None:
        """End every child: by its lifeline and SIGTERM, after 15 seconds by SIGKILL."""
        with self._lock:
            self.is_stopping = True
            children = list(self._running)
        for child in children:
            if child.stdin is not None:
                child.stdin.close()
            child.terminate()
        for child in children:
            try:
                child.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                logger.warning("Process %d did not end within %.0f s: killing it.", child.pid, _STOP_TIMEOUT_S)
                child.kill()
                child.wait()
