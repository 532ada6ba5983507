"""Child processes of the coordinator: spawned, logged, never left behind; the programs they run.

Each child holds the read end of a pipe whose other end is ours as its standard input. When we end, however we end,
the system closes the pipe and the child ends itself (`lifeline.py` of the protocol package).
"""

from __future__ import annotations

import subprocess
import sys
import threading
from enum import StrEnum
from pathlib import Path

from paris.coordinator.errors import WorkerError
from paris.protocol.lifeline import child_environment

_STOP_TIMEOUT_S = 15.0


class Program(StrEnum):
    """Modules that run as processes of their own: `python -m MODULE`. A test checks that each exists."""

    COORD = "paris.coordinator.cli.app"
    HUB = "paris.coordinator.hub"
    VERIFY = "paris.coordinator.verify"
    ROUTER = "paris.coordinator.training.router"
    NODE = "paris.node.cli"
    TRAINER = "paris.node.trainer.process"


class Children:
    """Starts child processes and ends them with us.

    Args:
        log_dir: Where each child's output goes, one file a name.
    """

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self.is_stopping = False

    def spawn(
        self, name: str, program: Program, *arguments: str, env: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start `python -m program arguments` with its output in `log_dir/name.log`."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        with self._lock, (self._log_dir / f"{name}.log").open("ab") as log:
            if self.is_stopping:
                raise WorkerError(f"{name} was not started: the coordinator is stopping.")
            child = subprocess.Popen(
                [sys.executable, "-m", program, *arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=child_environment(env),
                # Ctrl-C is for us alone: we end our children in order.
                start_new_session=True,
            )
            self._running.add(child)
        return child

    def run(self, name: str, program: Program, *arguments: str, env: dict[str, str] | None = None) -> None:
        """Start a child and wait for its end.

        Raises:
            WorkerError: It ended with another code than 0; the message has the last line that it wrote.
        """
        child = self.spawn(name, program, *arguments, env=env)
        code = child.wait()
        self.forget(child)
        if code != 0:
            raise WorkerError(
                f"{name} ended with code {code}: {self._last_line(name)}", f"See {self._log_dir / name}.log"
            )

    def forget(self, child: subprocess.Popen[bytes]) -> None:
        """Let go of a child that has ended, and of the pipe to it."""
        with self._lock:
            self._running.discard(child)
        if child.stdin is not None:
            child.stdin.close()

    def stop(self) -> None:
        """End every child: first by closing its lifeline, after a while by force."""
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
                child.kill()
                child.wait()

    def _last_line(self, name: str) -> str:
        lines = (self._log_dir / f"{name}.log").read_text("utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "no output"
