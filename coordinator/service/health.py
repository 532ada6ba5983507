"""Writes how the service feels, after its steps (`run/health.py`)."""

from __future__ import annotations

import logging
import time

from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.health import Health, write_health
from paris.coordinator.service.executor import Executor
from paris.coordinator.service.swarm import SupervisedPeer
from paris.protocol.clock import Clock

logger = logging.getLogger(__name__)
_EVERY_S = 5.0


class HealthReport:
    """Called after each step.

    Args:
        run: Where the file goes.
        peer: Its neighbours and refusals are counted.
        executor: Its verifications are counted.
        clock: Seconds that only grow.
        wall: UTC seconds.
    """

    def __init__(
        self,
        run: RunDir,
        peer: SupervisedPeer,
        executor: Executor,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
    ) -> None:
        self._run, self._peer, self._executor = run, peer, executor
        self._clock, self._wall = clock, wall
        self._started_at = wall()
        self._due_at = clock()

    def __call__(self, tick_s: float) -> None:
        """Write the file if it is due; a full disk is no reason to stop.

        Args:
            tick_s: Duration of the step.
        """
        if self._clock() < self._due_at:
            return
        self._due_at = self._clock() + _EVERY_S
        peer, spent = self._peer.current, self._executor.verifications
        health = Health(
            at=self._wall(),
            started_at=self._started_at,
            tick_s=tick_s,
            num_peers=peer.num_neighbours,
            num_refused_records=sum(peer.refusals.values()),
            num_verifications=spent.count,
            verification_s=spent.seconds,
        )
        try:
            write_health(self._run.path, health)
        except OSError:
            logger.debug("The health could not be written.", exc_info=True)
