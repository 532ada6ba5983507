"""The demo's processes: started with a lifeline, watched, ended; and the memory of all of them together."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from paris.coordinator.demo.sockets import SocketWatch
from paris.coordinator.errors import WorkerError
from paris.protocol.lifeline import child_environment

_END_TIMEOUT_S = 20.0


class Processes:
    """Every process of the demo.

    Each has our pipe as its standard input and ends itself when the pipe closes, so none is left behind, also when
    we are killed.

    Args:
        log_dir: One log file a process.
    """

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.peak_memory_bytes = 0
        self.sockets = SocketWatch()

    def start(self, name: str, *command: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start `python -m command...`; its output goes to `log_dir/name.log`, JSON lines to `name.jsonl`."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        talk = (self._log_dir / f"{name}.log").open("ab")
        data = (self._log_dir / f"{name}.jsonl").open("ab")
        with talk, data:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                stdin=subprocess.PIPE,
                stdout=data,
                stderr=talk,
                env=child_environment(env),
                start_new_session=True,
            )
        self._running[name] = process
        return process

    def run(
        self, name: str, *command: str, while_waiting: Callable[[], None], env: dict[str, str] | None = None
    ) -> None:
        """Start a process and wait for its end.

        Raises:
            WorkerError: It failed; the message has its last words.
        """
        process = self.start(name, *command, env=env)
        while process.poll() is None:
            while_waiting()
            time.sleep(0.1)
        self.require_success(name)

    def require_alive(self, *names: str) -> None:
        """Check that processes that should be running are.

        Raises:
            WorkerError: One has ended; the message has its last words.
        """
        for name in names:
            if self._running[name].poll() is not None:
                raise WorkerError(f"{name} ended early: {self.last_words(name)}", f"See {self._log_dir / name}.log")

    def require_success(self, name: str) -> None:
        """Check that an ended process ended well.

        Raises:
            WorkerError: It did not.
        """
        code = self._running[name].poll()
        if code != 0:
            raise WorkerError(
                f"{name} failed with code {code}: {self.last_words(name)}", f"See {self._log_dir / name}.log"
            )

    def has_ended(self, name: str) -> bool:
        """Whether a process is over, well or not."""
        return self._running[name].poll() is not None

    def last_words(self, name: str) -> str:
        """The last lines that a process wrote for people."""
        lines = (self._log_dir / f"{name}.log").read_text("utf-8", errors="replace").strip().splitlines()
        return " | ".join(lines[-2:]) if lines else "no output"

    def end_all(self) -> None:
        """End what still runs: close the lifelines, ask, and after a while kill."""
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
    def measured(self, volunteers: list[str], every_s: float = 2.0) -> Iterator[None]:
        """Measure the memory of this process and all below it, as the sum of proportional set sizes, and watch sockets.

        Args:
            volunteers: Names of the processes that are volunteers.
            every_s: Time between two looks.
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
    """Sum of proportional set sizes (Linux; elsewhere of unique ones) of this process and its descendants, bytes."""
    total = 0
    this = psutil.Process()
    for process in [this, *this.children(recursive=True)]:
        try:
            info = process.memory_full_info()
        except psutil.Error:
            continue
        total += getattr(info, "pss", info.uss)
    return total
