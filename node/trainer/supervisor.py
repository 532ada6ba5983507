"""Starts the trainer and restarts it when it dies; gives up when it dies repeatedly without progress."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

from paris.node.errors import DiskFullError, TrainerError
from paris.node.retry import Backoff, Wait
from paris.node.trainer import PROCESS_MODULE
from paris.node.trainer.events import TrainerEvent
from paris.node.trainer.order import Order
from paris.protocol.child_output import ChildOutput

_logger = logging.getLogger(__name__)
_MAX_QUICK_DEATHS = 3
_POLL_S = 0.5
_STOP_TIMEOUT_S = 60.0
_DEVICE_ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""The order in which nvidia-smi, and so `machine/gpus.py`, counts GPUs; CUDA's own begins with the fastest."""


class TrainingProcess:
    """One child process.

    Args:
        nice: How far it yields to other programs, 0 to 19.
    """

    def __init__(self, nice: int = 0) -> None:
        self._nice = nice
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        """Events of the child; ENDED comes last."""
        self._process: subprocess.Popen[bytes] | None = None
        self._output: ChildOutput | None = None
        self._listener: threading.Thread | None = None

    def start(self) -> None:
        """Spawn the child (never fork: this process has threads, and may have torch); it loads torch and waits.

        Must run in a thread that lives as long as the child: the kernel ties the child's life to it.
        """
        environ = {name: value for name, value in os.environ.items() if name not in ("PARIS_HUB_TOKEN", "HF_TOKEN")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", PROCESS_MODULE, str(self._nice)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**_DEVICE_ORDER, **environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
        )

    def begin(self, order: Order, log: Path) -> None:
        """Let the started child train.

        Args:
            order: What to train.
            log: Receives its standard error; bounded.
        """
        process = self._process
        if process is None:
            return
        self._output = ChildOutput(cast(IO[bytes], process.stderr), log)
        self._listener = threading.Thread(target=self._listen, args=(process,), name="trainer-events", daemon=True)
        self._listener.start()
        self._write(order.model_dump_json())

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End a child that has no order."""
        process = self._process
        if process is None:
            return
        process.kill()
        process.communicate()  # closes its pipes

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return None if self._process is None else self._process.pid

    def stop(self, timeout_s: float = _STOP_TIMEOUT_S) -> None:
        """Ask the child to save and end; kill it if it does not."""
        process = self._process
        if process is None:
            return
        self._write('{"stop": true}')
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            with contextlib.suppress(OSError):  # closing flushes into a pipe without a reader
                process.stdin.close()

    def unread_events(self) -> list[dict[str, Any]]:
        """What a process that was stopped said last: the progress up to its snapshot, for one."""
        if self._listener is not None:
            self._listener.join(_STOP_TIMEOUT_S)
        unread = []
        with contextlib.suppress(queue.Empty):
            while True:
                unread.append(self.events.get_nowait())
        return unread

    def log_tail(self) -> str:
        """The last line of the log of a process that has ended, for a message."""
        if self._output is None:
            return "it did not start"
        self._output.wait()
        return self._output.last_line or "it wrote nothing"

    def _write(self, line: str) -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        try:
            process.stdin.write(f"{line}\n".encode())
            process.stdin.flush()
        except OSError:
            return  # it is dead; `_listen` reports it

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdout is None:
            return
        with process.stdout as lines:
            for line in lines:
                try:
                    self.events.put(dict(json.loads(line)))
                except ValueError:
                    continue  # half a line of a child that was killed
        self.events.put({"event": TrainerEvent.ENDED, "code": process.wait()})


def supervise(
    order: Order,
    log: Path,
    *,
    on_event: Callable[[dict[str, Any]], None],
    check: Callable[[], None],
    pause: Wait,
    backoff: Backoff | None = None,
    first: TrainingProcess | None = None,
) -> dict[str, Any]:
    """Train to the end; restart a trainer that dies after progress, any number of times.

    Args:
        order: What to train.
        log: Receives the trainer's standard error.
        on_event: Called with every `TrainerEvent`.
        check: Called about twice a second; what it raises stops the trainer.
        pause: Waits before a restart, or raises StoppedError.
        backoff: Times before restarts.
        first: A process that was started for this before; None, or where its wait has ended: one is started.

    Returns:
        The FINISHED event.

    Raises:
        TrainerError: It died three times in a row without a new step, or reported a permanent error.
        DiskFullError: It could not save. Earlier snapshots stay, and the same order continues from them.
    """
    backoff = backoff or Backoff(first_s=1.0)
    deaths, best_step = 0, -1
    while True:
        process, first = first or TrainingProcess(order.nice), None
        has_waited = process.is_running
        if not has_waited:
            process.start()
        process.begin(order, log)
        try:
            life = _live(process, on_event, check)
        finally:
            process.stop()
            for event in process.unread_events():
                if event["event"] == TrainerEvent.PROGRESS:
                    on_event(event)
        if life.finished is not None:
            return life.finished
        check()  # a signal to the whole group ends both: then this is no death, and there is no restart
        if has_waited and life.code == 0 and not life.has_spoken:
            continue  # its wait for an order ended just before this one came
        deaths = 1 if life.last_step > best_step else deaths + 1
        best_step = max(best_step, life.last_step)
        if deaths >= _MAX_QUICK_DEATHS:
            raise _crash_loop(order.task_id, log, f"exit code {life.code}: {process.log_tail()}")
        _logger.info("The trainer of %s ended with code %d: %s", order.task_id, life.code, process.log_tail())
        on_event({"event": TrainerEvent.RESTARTING, "deaths": deaths, "code": life.code})
        pause(backoff.wait_s(deaths))


def _crash_loop(task_id: str, log: Path, last: str) -> TrainerError:
    return TrainerError(
        f"The trainer of {task_id} ended {_MAX_QUICK_DEATHS} times without progress ({last}).",
        f"See {log}; with too little memory, close other programs or join with --device cpu.",
    )


class _Life:
    """What one process of the trainer achieved."""

    def __init__(self) -> None:
        self.finished: dict[str, Any] | None = None
        self.last_step = -1
        self.has_spoken = False
        """Whether it sent an event."""
        self.code = 0


def _live(process: TrainingProcess, on_event: Callable[[dict[str, Any]], None], check: Callable[[], None]) -> _Life:
    life = _Life()
    while True:
        check()
        try:
            event = process.events.get(timeout=_POLL_S)
        except queue.Empty:
            continue
        match event["event"]:
            case TrainerEvent.ENDED:
                life.code = int(event["code"])
                return life
            case TrainerEvent.PROGRESS:
                life.last_step = max(life.last_step, int(event["step"]))
            case TrainerEvent.FINISHED:
                life.finished = event
            case TrainerEvent.ERROR if event["is_permanent"] or event["is_disk_full"]:
                raise trainer_error(event)
        life.has_spoken = True
        on_event(event)


def trainer_error(event: dict[str, Any]) -> TrainerError | DiskFullError:
    """The typed error for the trainer's ERROR event, with its message, next step and exit code.

    A full disk is for the volunteer to fix, and the task waits. Snapshots of another task, or of settings that the run
    has changed since, cannot be fixed: the lease is given back, the files stay, and the next lease starts again.
    """
    what, next_step = str(event["what"]), str(event["next_step"])
    if event["is_disk_full"]:
        return DiskFullError(what, next_step)
    if event["type"] == "SnapshotError":
        next_step = "The lease is given back, the files stay until the next; run the same command again."
    error = TrainerError(what, next_step)
    error.exit_code = int(event["exit_code"])
    return error
