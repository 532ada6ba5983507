"""Carries out the actions that `tick` decided on, each once at a time, and reports back as observations.

Each runs in a thread; what computes is a child process.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from paris.coordinator.children import Children
from paris.coordinator.decisions.legs import head_commitment
from paris.coordinator.decisions.observations import (
    Action,
    AuditNeeded,
    AverageLanes,
    Close,
    Closed,
    DrawGrid,
    LegStored,
    MakeRelease,
    NotRechecked,
    Observation,
    Recheck,
    Rechecked,
    Register,
    Registered,
    ReleaseEnded,
    ReleaseStage,
    RouterTrained,
    SnapshotsNeeded,
    StoreLeg,
    TrainRouter,
    UpdateModelRepo,
    VerificationFailed,
    Verified,
    Verify,
)
from paris.coordinator.errors import NotTrainableAgainError, VerificationCrashError
from paris.coordinator.model_repo.keeping import ModelRepo
from paris.coordinator.service.grids import SampleGrids
from paris.coordinator.service.lane_means import LaneMeans
from paris.coordinator.service.registering import Registrar
from paris.coordinator.service.releases import Releaser
from paris.coordinator.service.router import RouterTrainer
from paris.coordinator.service.verifier import Verifier
from paris.coordinator.state.model import State
from paris.protocol.clock import Clock
from paris.protocol.counted import numbered
from paris.protocol.errors import ParisError, reason_of

logger = logging.getLogger(__name__)
_FIRST_WAIT_S = 2.0
_LONGEST_WAIT_S = 600.0
MOST_MEAN_TRIES = 10
"""Failures of a mean, over 17 minutes, after which lanes whose states cannot be had are left out."""


_Shows = UpdateModelRepo | DrawGrid
"""What is shown to people. One of each kind is in flight; they back off by kind: each state asks for another one."""
_Key = Action | type[_Shows]
"""By which actions are in flight and back off: the action, or its kind."""


class _Backoff(NamedTuple):
    """After which time an action that failed is started again."""

    failures: int
    until: float


@dataclass
class Spent:
    """What verifications took."""

    count: int = 0
    seconds: float = 0.0


@dataclass
class Workers:
    """What carries out the kinds of actions."""

    verifier: Verifier
    """Verifies submissions."""
    registrar: Registrar
    """Registers them, stores the states of legs, and closes the pull requests of the rest."""
    lane_means: LaneMeans
    """Stores the means of lanes."""
    router: RouterTrainer
    """Trains the router."""
    releaser: Releaser
    """Makes releases."""
    model_repo: ModelRepo
    """Keeps card and tags of the model repo."""
    grids: SampleGrids | None
    """Draws samples for the page; None: none are drawn."""


class Executor:
    """Runs actions in the background.

    Args:
        workers: Carry them out.
        children: The child processes of all; ended by `stop`.
        log: Receives a line for people when an action failed and will be started again.
        clock: Seconds that only grow.
    """

    def __init__(
        self, workers: Workers, children: Children, log: Callable[[str], None], clock: Clock = time.monotonic
    ) -> None:
        self._workers, self._children = workers, children
        self._shown: UpdateModelRepo | None = None
        self._log, self._clock = log, clock
        self.verifications = Spent()
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="action")
        self._rechecks = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recheck")
        """Each may train a whole leg, hours; what volunteers wait for does not wait for it."""
        self._drawing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="drawing")
        """Pictures for the page, which nothing waits for."""
        self._updating = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model-repo")
        """Card and tags of the model repo, which nothing waits for."""
        self._registering = threading.Lock()
        """One commit at a time, onto main or a state's branch: of two onto one branch, the Hub would refuse the second
        for its parent commit."""
        self._in_flight: set[_Key] = set()
        self._waiting: dict[_Key, _Backoff] = {}
        self._stages: queue.SimpleQueue[ReleaseStage] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[tuple[Action, Observation | None, float]] = queue.SimpleQueue()

    def start(self, actions: tuple[Action, ...], state: State) -> None:
        """Start the actions that neither run nor back off after a failure."""
        for action in actions:
            if self._is_startable(_key(action)):
                self._in_flight.add(_key(action))
                self._pool_of(action).submit(self._run, action, state)

    def show(self, state: State) -> None:
        """Start to bring the model repo and the page's samples up to a state.

        Raises nothing: what failed is reported, and tried again later.
        """
        wanted: dict[_Key, Callable[[State], _Shows | None]]
        wanted = {DrawGrid: self._wanted_grid, UpdateModelRepo: self._wanted_update}
        for kind, action_for in wanted.items():
            if not self._is_startable(kind):
                continue
            try:
                action = action_for(state)
            except Exception as error:
                self._back_off(kind, error)
            else:
                self.start(() if action is None else (action,), state)

    def results(self) -> list[Observation]:
        """Results since the last call.

        An action counts as running until its result is read here: the next tick knows the result, and does not ask
        for the action again.
        """
        found: list[Observation] = []
        while not self._stages.empty():
            found.append(self._stages.get())
        while not self._ended.empty():
            action, observation, took_s = self._ended.get()
            self._in_flight.discard(_key(action))
            if isinstance(action, Verify):
                self.verifications.count += 1
                self.verifications.seconds += took_s
            if observation is not None:
                found.append(observation)
        return found

    def stop(self) -> None:
        """End the child processes and wait for the threads; after a restart `tick` asks for unfinished work again."""
        self._children.stop()
        for pool in (self._rechecks, self._drawing, self._updating, self._pool):
            pool.shutdown(wait=True, cancel_futures=True)

    def _pool_of(self, action: Action) -> ThreadPoolExecutor:
        if isinstance(action, Recheck):
            return self._rechecks
        if isinstance(action, UpdateModelRepo):
            return self._updating
        return self._drawing if isinstance(action, DrawGrid) else self._pool

    def _wanted_grid(self, state: State) -> DrawGrid | None:
        return self._workers.grids.wanted(state) if self._workers.grids is not None else None

    def _wanted_update(self, state: State) -> UpdateModelRepo | None:
        action = UpdateModelRepo(self._workers.model_repo.shows(state))
        return None if action == self._shown else action

    def _is_startable(self, key: _Key) -> bool:
        """Whether it is neither in flight nor backs off."""
        waiting = self._waiting.get(key)
        return key not in self._in_flight and (waiting is None or waiting.until <= self._clock())

    def _run(self, action: Action, state: State) -> None:
        """Any failure is reported, and the action backs off."""
        observation: Observation | None = None
        started_at = self._clock()
        try:
            observation = self._carry_out(action, state)
            self._waiting.pop(_key(action), None)
        except Exception as error:
            what, wait_s = self._back_off(_key(action), error)
            observation = self._failure(action, error, what, wait_s)
        finally:
            self._ended.put((action, observation, self._clock() - started_at))

    def _back_off(self, key: _Key, error: Exception) -> tuple[str, float]:
        """Report a failure and wait; returns it in words, and the wait in seconds."""
        name = key.__name__ if isinstance(key, type) else str(key)
        logger.debug("%s failed.", name, exc_info=error)
        why = reason_of(error)
        what = why if isinstance(error, ParisError) else f"unexpected {type(error).__name__}: {why}"
        self._log(f"{name}: {what}")
        failures = self._waiting[key].failures + 1 if key in self._waiting else 1
        wait_s = min(_FIRST_WAIT_S * 2 ** (failures - 1), _LONGEST_WAIT_S)
        self._waiting[key] = _Backoff(failures, self._clock() + wait_s)
        return what, wait_s

    def _carry_out(self, action: Action, state: State) -> Observation | None:
        match action:
            case Verify(lease_id):
                report = self._workers.verifier.verify(state, lease_id)
                if report.needs:
                    return SnapshotsNeeded(lease_id, report.needs)
                if report.audit is not None:
                    return AuditNeeded(lease_id, report.audit)
                began_at = head_commitment(state.tasks[report.task_id].task)
                return Verified(report.verdict(), began_at, report.votes, report.baits)
            case Recheck(lease_id):
                report = self._workers.verifier.recheck(state, lease_id)
                if report.needs:
                    # The volunteer is not asked: it deletes its snapshots after the verdict.
                    return NotRechecked(lease_id, f"the state at {numbered('step', report.needs)} is gone")
                if report.audit is not None:
                    return AuditNeeded(lease_id, report.audit)
                return Rechecked(lease_id, report.accepted, report.reason, report.votes)
            case Register(lease_id):
                with self._registering:
                    return Registered(self._workers.registrar.register(state, lease_id))
            case StoreLeg(lease_id):
                with self._registering:
                    head = self._workers.registrar.store_leg(state, lease_id)
                self._workers.verifier.discard_states(state, lease_id)
                return LegStored(lease_id, head)
            case AverageLanes():
                tries = self._waiting[action].failures if action in self._waiting else 0
                return self._workers.lane_means.store(state, action, leaves_out=tries >= MOST_MEAN_TRIES)
            case Close(lease_id):
                self._workers.registrar.close(state, lease_id)
                self._workers.verifier.discard_candidate(lease_id)
                return Closed(lease_id)
            case TrainRouter(from_samples):
                return RouterTrained(True, self._workers.router.train(from_samples=from_samples))
            case MakeRelease():
                return ReleaseEnded(
                    True, self._workers.releaser.make(lambda stage: self._stages.put(ReleaseStage(stage)))
                )
            case DrawGrid():
                if self._workers.grids is not None:
                    self._workers.grids.draw(state)
                return None
            case UpdateModelRepo():
                self._workers.model_repo.update(state, self._registering)
                self._shown = action
                return None

    def _failure(self, action: Action, error: Exception, reason: str, wait_s: float) -> Observation | None:
        if isinstance(action, Recheck) and isinstance(error, NotTrainableAgainError):
            return NotRechecked(action.lease_id, reason)
        if isinstance(action, Verify | Recheck):
            trouble_s = None if isinstance(error, VerificationCrashError) else wait_s
            return VerificationFailed(action.lease_id, reason, trouble_s)
        if isinstance(action, TrainRouter) and not self._children.is_stopping:
            return RouterTrained(False, reason)
        if isinstance(action, MakeRelease) and not self._children.is_stopping:
            return ReleaseEnded(False, reason)
        return None


def _key(action: Action) -> _Key:
    return type(action) if isinstance(action, _Shows) else action
