"""A real `paris-node join --json`, its events as they come."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
from deadlines import DEADLINE_S

from paris.node.trainer import PROCESS_MODULE
from paris.node.view import EventKind
from paris.node.view.schema import event_model


class NodeProcess:
    """One node as a process; `wait_for` follows its events."""

    def __init__(self, home: Path, *arguments: str, token: str | None = None) -> None:
        environ = {**os.environ, "PARIS_HUB_TOKEN": token} if token else dict(os.environ)
        command = [sys.executable, "-m", "paris.node.cli", "join", *arguments]
        self.process = subprocess.Popen(
            [*command, "--home", str(home), "--json", "--threads", "1"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
            start_new_session=True,  # a group of its own, so that a signal to the group spares the tests
        )
        self.events: list[dict] = []
        self._queue: queue.Queue[dict | None] = queue.Queue()
        self._stderr: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=lambda: self._stderr.extend(self.process.stderr), daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self._queue.put(json.loads(line))
        self._queue.put(None)

    def wait_for(self, name: str, timeout_s: float = DEADLINE_S, **fields: object) -> dict:
        """The next event of this name with these fields."""
        deadline = time.monotonic() + timeout_s
        while True:
            event = self._queue.get(timeout=max(0.1, deadline - time.monotonic()))
            if event is None:
                raise AssertionError(f"no {name}; ended after {self.events[-3:]}; {''.join(self._stderr)[-3000:]}")
            self.events.append(event)
            if event["event"] == name and all(event[key] == value for key, value in fields.items()):
                return event

    def wait_end(self, timeout_s: float = DEADLINE_S) -> int:
        """Exit code, after taking in the remaining events."""
        code = self.process.wait(timeout_s)
        while (event := self._queue.get(timeout=DEADLINE_S)) is not None:
            self.events.append(event)
        for event in self.events:  # what docs/events.schema.json promises
            model = event_model(EventKind(event["event"])).model_validate_json(json.dumps(event))
            assert model.model_extra == {}, event
        return code

    def of(self, name: str) -> list[dict]:
        """All events of one name so far."""
        return [event for event in self.events if event["event"] == name]

    def children(self) -> list[psutil.Process]:
        """Every process below it."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def trainer(self) -> psutil.Process:
        """The training process below it."""
        for child in self.children():
            with contextlib.suppress(psutil.ZombieProcess):
                if PROCESS_MODULE in child.cmdline():
                    return child
        raise AssertionError("no trainer runs")

    def kill(self) -> None:
        """kill -9, of this process alone."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(DEADLINE_S)

    def close(self) -> None:
        """End it if it still runs."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def all_gone(processes: list[psutil.Process], timeout_s: float = 10) -> list[psutil.Process]:
    """Those that still run after some time; zombies of a lazy init count as gone."""
    _, alive = psutil.wait_procs(processes, timeout=timeout_s)
    return [process for process in alive if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
