"""The process of one node of several: started, listened to, ended."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from paris.node.devices import NODE_MODULE
from paris.node.devices.order import NodeOrder
from paris.protocol.lifeline import child_environment

_END_TIMEOUT_S = 60.0
"""For the trainer to save, and for the node to tell the coordinator."""


class Said(NamedTuple):
    """Something that a node says."""

    node: DeviceNode
    event: dict[str, Any] | None
    """A line of its events."""
    line: str = ""
    """A line of its standard error; without it and an event: the node has ended."""


class DeviceNode:
    """One node.

    Args:
        name: Of its device, as `Portion` has it.
        order: What it is told.
        said: Receives what it says.
    """

    def __init__(self, name: str, order: NodeOrder, said: queue.Queue[Said]) -> None:
        self.name, self._order, self._said = name, order, said
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        """Its folder."""
        return self._order.request.home

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def code(self) -> int:
        """How it ended: its exit code, or the negative number of the signal that ended it; 0 before that."""
        return (self._process and self._process.returncode) or 0

    def start(self) -> None:
        """Start it: in a session of its own, since Ctrl-C is for the join to handle."""
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, "-m", NODE_MODULE],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=child_environment(),
            start_new_session=True,
        )
        with contextlib.suppress(OSError):  # it has ended already; `_listen` reports it
            sink = cast(IO[bytes], self._process.stdin)
            sink.write(f"{self._order.model_dump_json()}\n".encode())
            sink.flush()
        for listen in (self._listen, self._pass_on):
            threading.Thread(target=listen, args=(self._process,), name=f"node-{self.name}", daemon=True).start()

    def stop(self) -> None:
        """Ask it for a clean stop."""
        if self._process is not None:
            self._process.terminate()

    def end(self) -> None:
        """End it at once if it still runs: its trainer and its peer end with it."""
        process = self._process
        if process is not None:
            process.kill()
            process.wait()
            with contextlib.suppress(OSError):  # closing flushes into a pipe without a reader
                cast(IO[bytes], process.stdin).close()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        with cast(IO[bytes], process.stdout) as lines:
            for line in lines:
                with contextlib.suppress(ValueError):  # half a line of a node that was killed
                    self._said.put(Said(self, dict(json.loads(line))))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_TIMEOUT_S)
        self._said.put(Said(self, None))

    def _pass_on(self, process: subprocess.Popen[bytes]) -> None:
        with cast(IO[bytes], process.stderr) as lines:
            for line in lines:
                self._said.put(Said(self, None, line.decode("utf-8", "replace").rstrip("\n") or " "))
