"""The demo's processes: start, watch and end them, and measure their memory."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import psutil

from paris.coordinator.demo.sockets import SocketWatch
from paris.coordinator.errors import WorkerError
from paris.protocol.lifeline import child_environment

_END_TIMEOUT_S = 20.0


class Processes:
    """All processes of the demo.

    Standard input of each is a pipe of this process. A process ends itself when its pipe closes, so none is left
    behind, even if this process is killed.

    Args:
        log_dir: Folder of one log file for each process.
        lock: A file that every process keeps open: its lock is free when all of them have ended.
    """

    def __init__(self, log_dir: Path, lock: FileIO) -> None:
        self._log_dir, self._lock = log_dir, lock
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.peak_memory_bytes = 0
        self.sockets = SocketWatch()

    def start(self, name: str, *command: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start `python -m command...`, with stderr in `log_dir/name.log` and stdout, JSON lines, in `name.jsonl`."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        log = (self._log_dir / f"{name}.log").open("ab")
        events = self.events_of(name).open("ab")
        with log, events:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                stdin=subprocess.PIPE,
                stdout=events,
                stderr=log,
                env=child_environment(env),
                start_new_session=True,
                pass_fds=(self._lock.fileno(),),
            )
        self._running[name] = process
        return process

    def run(
        self, name: str, *command: str, while_waiting: Callable[[], None], env: dict[str, str] | None = None
    ) -> None:
        """Start a process and wait until it ends.

        Raises:
            WorkerError: It failed; the message contains the last lines of its log.
        """
        process = self.start(name, *command, env=env)
        while process.poll() is None:
            while_waiting()
            time.sleep(0.1)
        self.require_success(name)

    def require_alive(self, *names: str) -> None:
        """Check that processes still run.

        Raises:
            WorkerError: One has ended; the message contains the last lines of its log.
        """
        for name in names:
            if self._running[name].poll() is not None:
                raise WorkerError(f"{name} ended early: {self.last_log_lines(name)}", f"See {self._log_dir / name}.log")

    def require_success(self, name: str) -> None:
        """Check that an ended process has exit code 0.

        Raises:
            WorkerError: It has another one.
        """
        code = self._running[name].poll()
        if code != 0:
            raise WorkerError(
                f"{name} failed with code {code}: {self.last_log_lines(name)}", f"See {self._log_dir / name}.log"
            )

    def events_of(self, name: str) -> Path:
        """The file of a process's JSON lines."""
        return self._log_dir / f"{name}.jsonl"

    def interrupt(self, name: str) -> None:
        """Ask a process to end, as Ctrl-C does."""
        self._running[name].send_signal(signal.SIGINT)

    def is_started(self, name: str) -> bool:
        """Whether this session has started a process of this name."""
        return name in self._running

    def has_ended(self, name: str) -> bool:
        """Whether a process has ended, with any exit code."""
        return self._running[name].poll() is not None

    def last_log_lines(self, name: str) -> str:
        """The last two lines of a process's log."""
        lines = (self._log_dir / f"{name}.log").read_text("utf-8", errors="replace").strip().splitlines()
        return " | ".join(lines[-2:]) if lines else "no output"

    def end_all(self) -> None:
        """End all running processes: SIGTERM and end of input, then SIGKILL after 20 seconds."""
        alive = [process for process in self._running.values() if process.poll() is None]
        for process in alive:
            process.terminate()
            if process.stdin is not None:
                process.stdin.close()
        deadline = time.monotonic() + _END_TIMEOUT_S
        for process in alive:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @contextmanager
    def measure(self, volunteers: list[str], every_s: float = 2.0) -> Iterator[None]:
        """Track peak memory and sockets of this process and its descendants while the body runs.

        Args:
            volunteers: Names of the volunteers' processes.
            every_s: Seconds between two measurements.
        """
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(every_s):
                self.peak_memory_bytes = max(self.peak_memory_bytes, memory_of_tree_bytes())
                self.sockets.look({name: self._running[name].pid for name in volunteers if name in self._running})

        thread = threading.Thread(target=watch, daemon=True, name="memory")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def memory_of_tree_bytes() -> int:
    """Sum of the proportional set sizes of this process and its descendants; unique set sizes outside Linux."""
    total = 0
    this = psutil.Process()
    for process in [this, *this.children(recursive=True)]:
        try:
            info = process.memory_full_info()
        except psutil.Error:
            continue
        total += getattr(info, "pss", info.uss)
    return total
