"""The speed of this machine: real training steps, in as many processes at a time as will train.

The measuring processes are those of `paris-coord plan --measure`; this process imports no torch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from paris.coordinator.planning.measured import MeasuredCase, MeasuredDevice, MeasureRequest, measure_device
from paris.coordinator.planning.speed import Speed, fit_speed
from paris.experts.models.flops import forward_flops, router_flops, step_flops
from paris.experts.models.presets import ModelConfig, RouterConfig

_BUDGET_S = 6.0


@dataclass(frozen=True)
class MachineSpeed:
    """Of one training among several."""

    device: str
    """"cpu", "cuda" or "mps"."""
    num_workers: int
    """Trainings that run at the same time."""
    num_threads: int
    """CPU threads of each."""
    start_s: float
    """Start of a process that imports torch, while all workers start."""
    speed: Speed
    """While all workers train."""

    def step_s(self, model: ModelConfig, batch_size: int) -> float:
        """An expert's step, with captions of full length."""
        return self.speed.step_s(model.num_layers, step_flops(model, model.max_text_tokens, batch_size))

    def router_step_s(self, router: RouterConfig, batch_size: int) -> float:
        """The router's step."""
        return self.speed.step_s(router.num_layers, 3 * router_flops(router) * batch_size)

    def forward_row_s(self, model: ModelConfig) -> float:
        """One row through an expert, without gradients, among many."""
        return sum(forward_flops(model, model.max_text_tokens).values()) / self.speed.flops_per_s


def measure_speed(
    cases: Sequence[MeasuredCase], *, device: str, num_workers: int, num_threads: int, budget_s: float = _BUDGET_S
) -> MachineSpeed:
    """Measure training steps, all workers at the same time.

    Args:
        cases: What to measure steps of.
        device: "auto" takes a GPU if torch has one.
        num_workers: Trainings at the same time.
        num_threads: CPU threads of each.
        budget_s: Seconds of measuring, without the start of the processes.

    Raises:
        SettingsError: Torch has no such device.
        WorkerError: A measuring process failed otherwise.
    """
    request = MeasureRequest(cases=tuple(cases), device=device, threads=num_threads, budget_s=budget_s)

    def measure(folder: str) -> tuple[MeasuredDevice, float]:
        started = time.monotonic()
        found = measure_device(request, Path(folder))
        return found, max(0.1, time.monotonic() - started - budget_s)

    with TemporaryDirectory(prefix="paris-speed-") as folder, ThreadPoolExecutor(num_workers) as threads:
        answers = list(threads.map(measure, [f"{folder}/{number}" for number in range(num_workers)]))
    return MachineSpeed(
        device=answers[0][0].device,
        num_workers=num_workers,
        num_threads=num_threads,
        start_s=sum(start_s for _, start_s in answers) / num_workers,
        speed=fit_speed([step for found, _ in answers for step in found.steps]),
    )
