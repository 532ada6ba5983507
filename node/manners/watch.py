"""Observes the machine now and then, and decides whether training is to pause."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from paris.node.manners import sensors
from paris.node.manners.decision import Observed, is_in_use, why_pause
from paris.node.manners.logind import has_input
from paris.node.manners.nvidia import read_gpu
from paris.node.manners.pause import Pause
from paris.node.manners.settings import Manners
from paris.protocol.clock import Clock

_LOOK_EVERY_S = 5.0


class Sensors:
    """Reads what the settings are about, and nothing else.

    Args:
        manners: The settings.
        device: What trains, in torch's words.
        gpu_uuid: The NVIDIA GPU that trains, or None.
        clock: UTC seconds.
        own_process: What runs below it is no other program; None: this process.
    """

    def __init__(
        self,
        manners: Manners,
        device: str,
        gpu_uuid: str | None,
        clock: Clock = time.time,
        own_process: int | None = None,
    ) -> None:
        self._manners, self._device, self._gpu_uuid, self._clock = manners, device, gpu_uuid, clock
        self._own_process = own_process or os.getpid()
        self._cpu: sensors.CpuTimes | None = None
        self._in_use_at: float | None = None

    def __call__(self) -> Observed:
        """Look once."""
        manners = self._manners
        seen = Observed(
            now=self._clock(),
            is_on_battery=sensors.is_on_battery() if manners.not_on_battery else None,
            running=sensors.running_programs(manners.not_while),
            has_input=has_input() if manners.only_when_idle else None,
            others_share=self._others_share() if manners.only_when_idle else None,
            temperature_c=self._temperature_c() if manners.max_temperature_c is not None else None,
        )
        if is_in_use(seen):
            self._in_use_at = seen.now
        return replace(seen, in_use_at=self._in_use_at)

    def _others_share(self) -> float | None:
        """Since the last look; at the first look nothing counts as taken."""
        before, self._cpu = self._cpu, sensors.cpu_times(self._own_process)
        if self._cpu is None:
            return None
        return 0.0 if before is None else sensors.others_share(before, self._cpu)

    def _temperature_c(self) -> float | None:
        if self._gpu_uuid is not None:
            return read_gpu(self._gpu_uuid).temperature_c
        return sensors.cpu_temperature_c() if self._device == "cpu" else sensors.amd_gpu_temperature_c()


class Watch:
    """The present reason to pause by the settings; asked often, it looks every few seconds.

    Args:
        manners: The settings.
        look: Gives the observations.
        steady: Seconds that only grow.
    """

    def __init__(self, manners: Manners, look: Callable[[], Observed], steady: Clock = time.monotonic) -> None:
        self._manners, self._look, self._steady = manners, look, steady
        self._lock = threading.Lock()
        self._next_at = float("-inf")
        self._pause: Pause | None = None
        self.seen: Observed | None = None
        """Of the last look."""

    def why_paused(self) -> Pause | None:
        """The reason, or None."""
        with self._lock:
            if self._steady() >= self._next_at:
                self.seen = self._look()
                self._pause = why_pause(self._manners, self.seen, self._pause)
                self._next_at = self._steady() + _LOOK_EVERY_S
            return self._pause
