"""Carries out what `tick` decided, each piece of work once at a time, and reports back as observations.

Each runs in a thread; what computes is a child process that imports torch, so that this one never does.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from paris.coordinator.decisions.observations import (
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
from paris.coordinator.service.actions import Work
from paris.coordinator.service.registering import register_submission, reject_submission
from paris.coordinator.state.model import State
from paris.protocol.errors import ParisError

_FIRST_WAIT_S = 2.0
_LONGEST_WAIT_S = 600.0


class _Wait(NamedTuple):
    """Until when an action that failed is left alone."""

    failures: int
    until: float


class Executor:
    """Runs actions in the background.

    Args:
        work: What the actions need: run directory, Hub, child processes.
        log: Receives a line for people when something must be tried again.
        clock: UTC seconds.
    """

    def __init__(self, work: Work, log: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._work, self._log, self._clock = work, log, clock
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="action")
        self._registering = threading.Lock()
        """One copy onto main at a time: two would refuse each other's parent commit."""
        self._in_flight: set[Action] = set()
        self._waiting: dict[Action, _Wait] = {}
        self._ended: queue.SimpleQueue[tuple[Action, Observation | None]] = queue.SimpleQueue()

    def start(self, actions: tuple[Action, ...], state: State) -> None:
        """Begin the actions that are neither under way nor waiting after a failure."""
        for action in actions:
            waiting = self._waiting.get(action)
            if action in self._in_flight or (waiting is not None and waiting.until > self._clock()):
                continue
            self._in_flight.add(action)
            self._pool.submit(self._run, action, state)

    def results(self) -> list[Observation]:
        """What has ended since the last call.

        Only here an action stops to be under way: whoever reads its result decides with it, and so does not ask again.
        """
        found = []
        while not self._ended.empty():
            action, observation = self._ended.get()
            self._in_flight.discard(action)
            if observation is not None:
                found.append(observation)
        return found

    def stop(self) -> None:
        """End the child processes and wait for the threads; unfinished work is asked for again at the next start."""
        self._work.children.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, action: Action, state: State) -> None:
        """The one place that catches broadly: whatever fails is said, and asked for again after a while."""
        observation: Observation | None = None
        try:
            observation = self._carry_out(action, state)
            self._waiting.pop(action, None)
        except Exception as error:
            what = str(error) if isinstance(error, ParisError) else f"unexpected {type(error).__name__}: {error}"
            self._log(f"{action}: {what}")
            observation = self._failure(action, what)
            failures = self._waiting[action].failures + 1 if action in self._waiting else 1
            wait_s = min(_FIRST_WAIT_S * 2 ** (failures - 1), _LONGEST_WAIT_S)
            self._waiting[action] = _Wait(failures, self._clock() + wait_s)
        finally:
            self._ended.put((action, observation))

    def _carry_out(self, action: Action, state: State) -> Observation:
        match action:
            case Verify(lease_id):
                return Judged(self._work.verify(state, lease_id))
            case Register(lease_id):
                with self._registering:
                    return Registered(register_submission(self._work.hub, state, lease_id, self._work.seal_verdict))
            case Reject(lease_id):
                reject_submission(self._work.hub, state, lease_id, self._work.seal_verdict)
                self._work.forget(lease_id)
                return Closed(lease_id)
            case TrainRouter(from_samples):
                return RouterTrained(True, self._work.train_router(from_samples=from_samples))

    def _failure(self, action: Action, reason: str) -> Observation | None:
        if isinstance(action, Verify):
            return JudgingFailed(action.lease_id, reason)
        if isinstance(action, TrainRouter) and not self._work.children.is_stopping:
            return RouterTrained(False, reason)
        return None
