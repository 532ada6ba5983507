"""The trainer's process: torch, and no network.

    python -m paris.node.trainer.process NICE    NICE: how far it yields to other programs, 0 to 19
    agent -> stdin     one JSON line: the order (`order.py`); later {"stop": true}
    trainer -> stdout  one JSON line an event (`events.py`)
    trainer -> stderr  everything else, into trainer.log

It loads torch while the order is on its way, and ends by itself if none comes (`waiting.py`). End of stdin means that
the agent is gone: the trainer ends at once. It forbids itself every internet socket before it loads anything, and
reports how many it refused: so nothing passes between experts.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
from typing import IO, Any

from paris.node.trainer.events import TrainerEvent
from paris.protocol.signals import STOP_SIGNALS

_FORBIDDEN = (
    "socket.connect",
    "socket.bind",
    "socket.sendto",
    "socket.sendmsg",
    "socket.getaddrinfo",
    "socket.gethostbyname",
)
_PR_SET_PDEATHSIG = 1
_AGENT_IS_GONE = 3
_LONGEST_WAIT_S = 120.0
"""For an order. A trainer that waits holds the memory of torch, and no GPU."""


class Wire:
    """Events to the agent: the original standard output, which no library prints to."""

    def __init__(self) -> None:
        self._out: IO[str] = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
        os.dup2(2, 1)  # a library's print must not break the line protocol
        self._lock = threading.Lock()

    def send(self, event: TrainerEvent, **fields: Any) -> None:
        """Send one event."""
        with self._lock:
            self._out.write(json.dumps({"event": event, **fields}, allow_nan=False) + "\n")
            self._out.flush()


class NetworkGuard:
    """Refuses internet sockets to all code of this process."""

    def __init__(self) -> None:
        self.num_refused = 0

    def install(self) -> None:
        """Start refusing; cannot be undone."""
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in _FORBIDDEN:
            return
        import socket

        family = getattr(args[0], "family", socket.AF_INET) if args else socket.AF_INET
        if family in (socket.AF_INET, socket.AF_INET6):
            self.num_refused += 1
            raise PermissionError(f"The trainer may not use the network ({event}).")


class AgentLines:
    """Reads standard input: the order, a stop line, or its end."""

    def __init__(self, lines: IO[str]) -> None:
        self._lines = lines
        self._stop = threading.Event()
        self._orders: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def listen(self) -> None:
        """Start listening."""
        threading.Thread(target=self._run, name="stdin", daemon=True).start()

    def order(self, timeout_s: float) -> dict[str, Any] | None:
        """Wait for the order; None if none came in time, or a stop line instead of it."""
        try:
            return self._orders.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def is_stopped(self) -> bool:
        """Whether the agent asked for a stop."""
        return self._stop.is_set()

    def _run(self) -> None:
        for line in self._lines:
            message = json.loads(line)
            if message.get("stop"):
                self._stop.set()
            self._orders.put(None if message.get("stop") else message)
        os._exit(_AGENT_IS_GONE)  # not sys.exit: the main thread may be deep in a kernel


def main() -> int:
    """Load torch, read the order, train, report.

    Returns:
        0 when finished or stopped, or without an order; 1 after an error that was reported.
    """
    wire = Wire()
    _die_with_parent()
    # Ctrl-C, `timeout` and a closed terminal reach the whole process group; the agent decides.
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(int(sys.argv[1]))
    guard = NetworkGuard()
    guard.install()
    lines = AgentLines(sys.stdin)
    lines.listen()
    try:
        import paris.node.trainer.task  # noqa: F401 - loads torch

        order = lines.order(_LONGEST_WAIT_S)
        if order is not None:
            _train(order, wire, lines, guard)
    except Exception as error:  # the process's edge: the agent raises it
        _report(error, wire)
        return 1
    return 0


def _train(order: dict[str, Any], wire: Wire, lines: AgentLines, guard: NetworkGuard) -> None:
    from paris.node.trainer.task import device_of, finished_fields, make_drawer, make_training

    device = device_of(order["device"])
    training = make_training(order, device, lines.is_stopped)
    wire.send(TrainerEvent.READY, device=device, threads=order["threads"])

    def report(progress: Any) -> None:
        wire.send(
            TrainerEvent.PROGRESS,
            step=progress.step,
            loss=progress.loss,
            steps_per_s=progress.steps_per_s,
            commitment=progress.commitment,
            commitment_step=progress.commitment_step,
            note=progress.note,
        )

    finished = training.run(report, lines.is_stopped, make_drawer(order))
    fields = finished_fields(finished)
    network = {"network_refused": guard.num_refused, "sockets": _num_sockets()}
    wire.send(TrainerEvent.FINISHED if fields else TrainerEvent.STOPPED, **fields, **network)


def _report(error: Exception, wire: Wire) -> None:
    import traceback

    from paris.node.errors import explain, is_disk_full

    told = explain(error)
    is_full = is_disk_full(error)
    is_typed = isinstance(getattr(error, "what", None), str) or isinstance(error, MemoryError)
    wire.send(
        TrainerEvent.ERROR,
        type=type(error).__name__,
        **told._asdict(),
        is_disk_full=is_full,
        is_permanent=is_typed and not is_full,
    )
    with contextlib.suppress(OSError):  # the log may be on a full disk
        traceback.print_exc()


def _num_sockets() -> int:
    """Internet sockets that this process holds, by the system's own count."""
    import psutil

    return len(psutil.Process().net_connections(kind="inet"))


def _die_with_parent() -> None:
    """On Linux the kernel ends this process with its agent, even while Python cannot run."""
    if sys.platform != "linux":
        return
    import ctypes

    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(_AGENT_IS_GONE)  # it died between the two lines


if __name__ == "__main__":
    code = main()
    with contextlib.suppress(OSError):  # the log may be on a full disk
        sys.stderr.flush()
    os._exit(code)  # all files are closed; the interpreter's own clean-up after torch takes seconds for nothing
