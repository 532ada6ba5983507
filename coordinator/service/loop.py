"""The loop of `paris-coord serve`: observe, decide by `tick`, save, act, publish.

Killed at any point it continues after a restart: the state is on disk before anything acts on it, and every action
is idempotent.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from paris.coordinator.decisions.clock_moves import moved, without_future
from paris.coordinator.decisions.observations import Observation, RouterRequested, RouterTrained
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.tick import tick
from paris.coordinator.errors import DatabaseError, DeposedError
from paris.coordinator.service.executor import Executor
from paris.coordinator.service.ways import Ways
from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.flags import FROM_SAMPLES, ROUTER_FLAG
from paris.coordinator.state.indexes import open_audits
from paris.coordinator.state.model import State
from paris.coordinator.state.store import Store
from paris.protocol.clock import ClockWatch, SteadyClock, jump_in_words
from paris.protocol.errors import ParisError, reason_of

logger = logging.getLogger(__name__)
_SHORTEST_WAIT_S = 0.5


class Server(Protocol):
    """A child process that answers requests."""

    name: str
    """At the beginning of a sentence."""

    def restart_if_dead(self) -> bool:
        """Restart it if it has ended; whether it was."""


class Service:
    """The running coordinator of one run.

    Args:
        ways: Between volunteers and this coordinator.
        servers: The processes of the embedded Hub and of the page, kept alive, as far as the run has them.
        store: The state on disk.
        executor: Carries out actions.
        policy: The numbers to decide by.
        clock: UTC seconds; it follows the wall clock between two steps only.
        log: Receives each event as it happens.
        watch: Notices jumps of the wall clock, for the log.
    """

    def __init__(
        self,
        *,
        ways: Ways,
        servers: Sequence[Server],
        store: Store,
        executor: Executor,
        policy: Policy,
        clock: SteadyClock,
        log: Callable[[Event], None],
        watch: ClockWatch | None = None,
    ) -> None:
        self._watch = watch or ClockWatch()
        self._ways, self._servers, self._store, self._executor = ways, servers, store, executor
        self._policy, self._clock, self._log = policy, clock, log
        self._watching_since = clock()
        """Since when this service has seen heartbeats: its start, or the last jump of the clock."""
        self._observed: list[Observation] = []
        """Results of actions that no saved state holds yet: a step that fails does not lose them."""
        self._at_start = store.load()
        """What an earlier service left."""
        self.state: State = without_future(self._at_start, self._watching_since, policy.lease_s)
        store.save(self._at_start, self.state, [], self._watching_since)

    def step(self) -> None:
        """Observe, decide, save, act, publish: once."""
        self._ways.wake.clear()
        lag_s = self._clock.lag_s()
        now = self._clock() + lag_s
        self._notice_jump()
        self._keep_servers_alive()
        self._ways.keep_peer_alive()
        self._observed += self._executor.results()
        request = self._router_request()
        requested = [] if request is None else [RouterRequested(from_samples=request == FROM_SAMPLES)]
        self._adopt_new_tasks()
        orders = self._store.orders()
        observations = [*self._observed, *requested, *orders.values(), *self._received()]
        # A machine that slept has seen no heartbeat meanwhile, as one that was down.
        watching_since = self._watching_since if lag_s == 0 else now
        state = moved(self.state, self._at_start, lag_s)
        decision = tick(state, observations, self._policy, now, watching_since)
        done_flags = () if request is None else (ROUTER_FLAG,)
        self._store.save(
            self.state, decision.state, decision.events, now, done_flags=done_flags, done_orders=orders.keys()
        )
        self._clock.move(lag_s)
        self.state, self._watching_since, self._observed = decision.state, watching_since, []
        for event in decision.events:
            self._log(event)
        self._executor.start(decision.actions, self.state)
        self._ways.publish(self.state)
        self._executor.show(self.state)

    def run(self, stop: threading.Event, every_s: float, after_step: Callable[[float], None] | None = None) -> None:
        """Step until `stop` is set; a step that fails (a full disk, say) is reported and repeated.

        That the database does not answer is reported once, and when it answers again.

        Args:
            stop: Ends the loop.
            every_s: Wait between two steps.
            after_step: Receives the duration of each step that did not fail, seconds.

        Raises:
            DeposedError: Another coordinator leads by now.
        """
        waits_for_database = False
        while not stop.is_set():
            started_at = time.monotonic()
            try:
                self.step()
                if waits_for_database:
                    self._log(Event(EventKind.SERVING, "The database answers again."))
                    waits_for_database = False
                if after_step is not None:
                    after_step(time.monotonic() - started_at)
            except DeposedError:
                raise
            except DatabaseError as error:
                if not waits_for_database:
                    self._log(Event(EventKind.PROBLEM, f"{error.what} The service waits for it."))
                waits_for_database = True
            except Exception as error:
                logger.debug("A step failed.", exc_info=True)
                self._log(Event(EventKind.PROBLEM, f"{type(error).__name__}: {reason_of(error)}"))
            self._wait(stop, every_s)

    def _wait(self, stop: threading.Event, every_s: float) -> None:
        """Wait for the next step; one that is asked for comes half a second after the last at the earliest."""
        until = time.monotonic() + every_s
        while not stop.wait(max(0.0, min(_SHORTEST_WAIT_S, until - time.monotonic()))):
            if self._ways.wake.is_set() or time.monotonic() >= until:
                return

    def _notice_jump(self) -> None:
        """Publish everything again after a jump of the wall clock, by which peers judge records."""
        jump_s = self._watch.jump_s()
        if jump_s != 0:
            self._ways.republish_all()
            self._log(Event(EventKind.PROBLEM, jump_in_words(jump_s)))

    def _keep_servers_alive(self) -> None:
        """Without the embedded Hub volunteers can neither fetch nor upload; they retry until it is back."""
        for server in self._servers:
            try:
                if server.restart_if_dead():
                    self._log(Event(EventKind.PROBLEM, f"{server.name} had ended; it was restarted."))
            except ParisError as error:
                logger.debug("%s could not be restarted.", server.name, exc_info=True)
                self._log(Event(EventKind.PROBLEM, str(error)))

    def _received(self) -> Iterator[Observation]:
        """What volunteers have sent; audits are read while some are out."""
        yield from self._ways.observations()
        if any(audit.outcome == "waiting" for audit in open_audits(self.state)):
            yield from self._ways.audits()

    def _router_request(self) -> str | None:
        """The value of the organiser's request for router training; left for later while a training runs."""
        ended = any(isinstance(observation, RouterTrained) for observation in self._observed)
        if self.state.router.phase == "training" and not ended:
            return None
        return self._store.flag(ROUTER_FLAG)

    def _adopt_new_tasks(self) -> None:
        """Take in tasks that `publish-tasks` wrote beside the running service."""
        new_ids = self._store.task_ids() - self.state.tasks.keys()
        if new_ids:
            stored = self._store.load().tasks
            added = {task_id: task for task_id, task in stored.items() if task_id in new_ids}
            self.state = replace(self.state, tasks={**self.state.tasks, **added})
