"""Carries out what `tick` decided, each piece of work once at a time, and reports back as observations.

Light work (Hub calls) runs in threads; what computes runs in child processes that import torch, so that this one
never does.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from paris.coordinator.observations import (
    Action,
    Closed,
    Judged,
    JudgingFailed,
    Observation,
    Register,
    Registered,
    Reject,
    RouterTrained,
    TrainRouter,
    Verify,
)
from paris.coordinator.registering import register_submission, reject_submission
from paris.coordinator.state import State
from paris.coordinator.work import Work
from paris.protocol.errors import ParisError


class Executor:
    """Runs actions in the background.

    Args:
        work: What the actions need: run directory, Hub, child processes.
        log: Receives a line for people when something must be tried again.
    """

    def __init__(self, work: Work, log: Callable[[str], None]) -> None:
        self._work = work
        self._log = log
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="action")
        self._in_flight: set[Action] = set()
        self._lock = threading.Lock()
        self._results: queue.SimpleQueue[Observation] = queue.SimpleQueue()

    def start(self, actions: tuple[Action, ...], state: State) -> None:
        """Begin the actions that are not under way already."""
        for action in actions:
            with self._lock:
                if action in self._in_flight:
                    continue
                self._in_flight.add(action)
            self._pool.submit(self._run, action, state)

    def results(self) -> list[Observation]:
        """What has ended since the last call."""
        found = []
        while not self._results.empty():
            found.append(self._results.get())
        return found

    def stop(self) -> None:
        """End the child processes and wait for the threads; unfinished work is asked for again at the next start."""
        self._work.children.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, action: Action, state: State) -> None:
        """The one place that catches broadly: whatever fails is said, and asked for again by the next tick."""
        try:
            self._results.put(self._carry_out(action, state))
        except ParisError as error:
            self._log(f"{action}: {error}")
            self._report_failure(action, str(error))
        except Exception as error:
            self._log(f"{action}: unexpected {type(error).__name__}: {error}")
            self._report_failure(action, f"{type(error).__name__}: {error}")
        finally:
            with self._lock:
                self._in_flight.discard(action)

    def _carry_out(self, action: Action, state: State) -> Observation:
        match action:
            case Verify(lease_id):
                return Judged(self._work.verify(state, lease_id))
            case Register(lease_id):
                return Registered(register_submission(self._work.hub, state, lease_id, self._work.seal_verdict))
            case Reject(lease_id):
                reject_submission(self._work.hub, state, lease_id, self._work.seal_verdict)
                return Closed(lease_id)
            case TrainRouter():
                return RouterTrained(True, self._work.train_router())

    def _report_failure(self, action: Action, reason: str) -> None:
        if isinstance(action, Verify):
            self._results.put(JudgingFailed(action.lease_id, reason))
        elif isinstance(action, TrainRouter) and not self._work.children.is_stopping:
            self._results.put(RouterTrained(False, reason))
