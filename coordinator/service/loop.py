"""The loop of `paris-coord serve`: observe, decide by `tick`, save, act, publish.

Killed at any point it continues after a restart: the state is on disk before anything acts on it, and every action
is idempotent.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace

from paris.coordinator.decisions.observations import Observation, RouterRequested
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.tick import tick
from paris.coordinator.run_hub.embedded import EmbeddedHub
from paris.coordinator.service.executor import Executor
from paris.coordinator.service.swarm import Swarm
from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.flags import FROM_SAMPLES, ROUTER_FLAG
from paris.coordinator.state.model import State
from paris.coordinator.state.store import Store
from paris.protocol.errors import ParisError

logger = logging.getLogger(__name__)


class Service:
    """The running coordinator of one run.

    Args:
        swarm: The run's records in the DHT.
        embedded_hub: The Hub's process, kept alive; None where the run's Hub is another.
        store: The state on disk.
        executor: Carries out actions.
        policy: The numbers to decide by.
        clock: UTC seconds.
        log: Receives each event as it happens.
    """

    def __init__(
        self,
        *,
        swarm: Swarm,
        embedded_hub: EmbeddedHub | None,
        store: Store,
        executor: Executor,
        policy: Policy,
        clock: Callable[[], float],
        log: Callable[[Event], None],
    ) -> None:
        self._swarm, self._embedded_hub, self._store, self._executor = swarm, embedded_hub, store, executor
        self._policy, self._clock, self._log = policy, clock, log
        self._watching_since = clock()
        self.state: State = store.load()

    def step(self) -> None:
        """Observe, decide, save, act, publish: once."""
        now = self._clock()
        self._keep_embedded_hub_alive()
        self._swarm.keep_peer_alive()
        observations = [*self._executor.results(), *self._requests(), *self._swarm.observations()]
        self._adopt_new_tasks()
        decision = tick(self.state, observations, self._policy, now, self._watching_since)
        self._store.save(self.state, decision.state, decision.events, now)
        self.state = decision.state
        for event in decision.events:
            self._log(event)
        self._executor.start(decision.actions, self.state)
        self._swarm.publish(self.state)

    def run(self, stop: threading.Event, every_s: float) -> None:
        """Step until `stop` is set; a step that fails (a full disk, say) is reported and repeated."""
        while not stop.is_set():
            try:
                self.step()
            except Exception as error:
                logger.debug("A step failed.", exc_info=True)
                self._log(Event(EventKind.PROBLEM, f"{type(error).__name__}: {error}"))
            stop.wait(every_s)

    def _keep_embedded_hub_alive(self) -> None:
        """Without it volunteers can neither fetch nor upload; they retry until it is back."""
        try:
            if self._embedded_hub is not None and self._embedded_hub.restart_if_dead():
                self._log(Event(EventKind.PROBLEM, "The embedded Hub had ended; it was restarted."))
        except ParisError as error:
            logger.debug("The embedded Hub could not be restarted.", exc_info=True)
            self._log(Event(EventKind.PROBLEM, str(error)))

    def _requests(self) -> Iterable[Observation]:
        """What commands asked of the running service."""
        rows = self._store.pop_flag(ROUTER_FLAG)
        if rows is not None:
            yield RouterRequested(from_samples=rows == FROM_SAMPLES)

    def _adopt_new_tasks(self) -> None:
        """Take in tasks that `publish-tasks` wrote beside the running service."""
        new_ids = self._store.task_ids() - self.state.tasks.keys()
        if new_ids:
            stored = self._store.load().tasks
            added = {task_id: task for task_id, task in stored.items() if task_id in new_ids}
            self.state = replace(self.state, tasks={**self.state.tasks, **added})
