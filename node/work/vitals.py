"""Figures of the machine and the network beside the training, for the volunteer."""

from __future__ import annotations

import time
from typing import Any

from paris.node.machine.hardware import Hardware
from paris.node.manners.nvidia import GpuReading, read_gpu
from paris.node.swarm.connection import Swarm
from paris.protocol.clock import Clock

_LOOK_EVERY_S = 10.0


class Vitals:
    """Peers, and temperature and power of an NVIDIA GPU; the GPU is asked every few seconds.

    Args:
        swarm: The run's DHT.
        hardware: What trains.
        steady: Seconds that only grow.
    """

    def __init__(self, swarm: Swarm, hardware: Hardware, steady: Clock = time.monotonic) -> None:
        self._swarm, self._gpu_uuid, self._steady = swarm, hardware.gpu_uuid, steady
        self._gpu = GpuReading(None, None)
        self._next_at = float("-inf")

    def __call__(self) -> dict[str, Any]:
        """Fields of the event of training."""
        if self._gpu_uuid is not None and self._steady() >= self._next_at:
            self._gpu = read_gpu(self._gpu_uuid)
            self._next_at = self._steady() + _LOOK_EVERY_S
        gpu = {"gpu_temperature_c": self._gpu.temperature_c, "gpu_power_w": self._gpu.power_w}
        return {"peers": self._swarm.num_peers, **gpu}
