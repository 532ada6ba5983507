"""`paris-coord serve`: the loop around `tick`. It observes the DHT, saves, acts, publishes.

Killed anywhere and started again it goes on: the state is on disk before anything acts on it, and every action may
be asked for twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import cast

from paris.coordinator.decisions.observations import Beaten, Observation, RouterWanted, Submitted, Wanted
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.tick import tick
from paris.coordinator.service.executor import Executor
from paris.coordinator.service.publisher import Publisher, wanted_records
from paris.coordinator.state.events import Event
from paris.coordinator.state.flags import FROM_SAMPLES, ROUTER_FLAG
from paris.coordinator.state.model import State
from paris.coordinator.state.store import Store
from paris.protocol.dht.peer import Peer
from paris.protocol.envelope import Envelope
from paris.protocol.errors import ParisError
from paris.protocol.manifest import Manifest
from paris.protocol.records import Heartbeat, Payload, RunSpec, Submission, Want

_HEALTH_EVERY_S = 30.0


class Service:
    """One coordinator at work.

    Args:
        spec: The run's description, as published.
        manifests: The shard lists, as published.
        peer: Our DHT peer.
        restart_peer: Starts it anew after its daemon died.
        keep_hub_alive: Starts the embedded Hub anew where it died, and says whether it had to.
        store: The state on disk.
        executor: Carries out actions.
        publisher: Seals records.
        policy: The numbers to decide by.
        clock: UTC seconds.
        log: Receives each event as it happens.
    """

    def __init__(
        self,
        *,
        spec: RunSpec,
        manifests: list[Manifest],
        peer: Peer,
        restart_peer: Callable[[Peer], Peer],
        keep_hub_alive: Callable[[], bool],
        store: Store,
        executor: Executor,
        publisher: Publisher,
        policy: Policy,
        clock: Callable[[], float],
        log: Callable[[Event], None],
    ) -> None:
        self.spec, self.manifests = spec, manifests
        self._peer, self._store, self._executor, self._publisher = peer, store, executor, publisher
        self._policy, self._clock, self._log = policy, clock, log
        self._restart_peer, self._keep_hub_alive = restart_peer, keep_hub_alive
        self._watching_since = self._healthy_at = clock()
        self.state: State = store.load()

    @property
    def peer(self) -> Peer:
        """Our DHT peer as it is now."""
        return self._peer

    def step(self) -> None:
        """Observe, decide, save, act, publish: once."""
        now = self._clock()
        self._keep_embedded_hub_alive()
        self._keep_peer_alive(now)
        observations = [*self._executor.results(), *self._flags(), *self._observe()]
        self._adopt_new_tasks()
        decision = tick(self.state, observations, self._policy, now, self._watching_since)
        self._store.save(self.state, decision.state, decision.events, now)
        self.state = decision.state
        for event in decision.events:
            self._log(event)
        self._executor.start(decision.actions, self.state)
        self._publish()

    def run(self, stop: threading.Event, every_s: float) -> None:
        """Step until told to stop; what goes wrong in one step (a full disk, say) is said, and tried again."""
        while not stop.is_set():
            try:
                self.step()
            except Exception as error:
                self._log(Event("problem", f"{type(error).__name__}: {error}"))
            stop.wait(every_s)

    def _keep_embedded_hub_alive(self) -> None:
        """Without it nobody fetches or uploads; volunteers try again until it is back."""
        try:
            if self._keep_hub_alive():
                self._log(Event("problem", "The embedded Hub had ended; it was started anew."))
        except ParisError as error:
            self._log(Event("problem", str(error)))

    def _keep_peer_alive(self, now: float) -> None:
        """A dead daemon shows nowhere else: hivemind goes on answering from memory."""
        if now - self._healthy_at < _HEALTH_EVERY_S:
            return
        self._healthy_at = now
        if not self._peer.healthy():
            self._log(Event("problem", "The DHT peer does not answer; it is started anew."))
            self._peer = self._restart_peer(self._peer)
            self._publisher.forget_all()

    def _observe(self) -> Iterable[Observation]:
        buckets = self.spec.num_buckets
        for envelope in self._peer.read_all("want", buckets):
            yield Wanted(cast(Envelope[Want], envelope))
        for envelope in self._peer.read_all("heartbeat", buckets):
            yield Beaten(cast(Envelope[Heartbeat], envelope))
        for envelope in self._peer.read_all("submission", buckets):
            yield Submitted(cast(Envelope[Submission], envelope))

    def _flags(self) -> Iterable[Observation]:
        rows = self._store.take_flag(ROUTER_FLAG)
        if rows is not None:
            yield RouterWanted(from_samples=rows == FROM_SAMPLES)

    def _adopt_new_tasks(self) -> None:
        """Take in tasks that `publish-tasks` wrote beside the running service."""
        for task_id in self._store.task_ids() - self.state.tasks.keys():
            self.state = self.state.with_task(self._store.load().tasks[task_id])

    def _publish(self) -> None:
        records: list[Payload] = wanted_records(self.spec, self.manifests if self.state.tasks else [], self.state)
        envelopes = self._publisher.due(records, self._clock())
        failed = [
            e
            for e, stored in zip(envelopes, self._peer.publish_many(envelopes, self.spec.num_buckets), strict=True)
            if not stored
        ]
        self._publisher.forget(failed)
