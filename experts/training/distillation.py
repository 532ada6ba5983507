"""K experts distilled into one dense model: every row is taught by the expert of its cluster, and by no other.

The student sees the rows of all clusters in their natural proportions, and learns `||v_student - v_teacher||^2`. No
router is needed: the cluster of a row is known. An epsilon expert teaches the velocity that it implies. The training
is an `ExpertTraining` whose batches bring the teachers' velocities as targets.

Source: McAllister et al., arXiv 2501.05450, distillation (a quarter of the experts' batch, teachers by cluster label).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import zip_longest
from typing import Protocol, Self

import torch
from pydantic import model_validator
from torch import Tensor

from paris.experts.objectives.objectives import FLOW_MATCHING, VelocityModel
from paris.experts.training.batches import Batch, Batches
from paris.experts.training.commitments import Sha256
from paris.experts.training.config import TrainingTask
from paris.experts.training.precision import autocast

STEPS_PER_FETCH = 8
"""Steps whose targets are computed together where not all experts are in memory: each is fetched so much less often."""
_ROWS_TOGETHER = 64


class DistillationTask(TrainingTask):
    """One student to be trained on the shards of all clusters."""

    shard_clusters: tuple[int, ...]
    """Cluster of each shard, in the order of `shard_rows`."""
    teachers: tuple[Sha256, ...]
    """SHA-256 of each expert's weights, in order: another teacher makes another task."""

    @model_validator(mode="after")
    def _all_rows_are_taught(self) -> Self:
        if len(self.shard_clusters) != len(self.shard_rows):
            raise ValueError(f"{len(self.shard_clusters)} clusters are named for {len(self.shard_rows)} shards")
        untaught = [cluster for cluster in self.shard_clusters if not 0 <= cluster < len(self.teachers)]
        if untaught:
            raise ValueError(f"a shard is of cluster {untaught[0]}, there are {len(self.teachers)} experts")
        if self.training.objective.kind != "flow":
            raise ValueError(f"a student learns the velocity, not {self.training.objective.kind}")
        return self


class Teachers(Protocol):
    """The experts by number, such as an `ExpertBank`, which need not hold all of them at once."""

    def __getitem__(self, number: int, /) -> VelocityModel:
        """The expert, usable until another one is asked for."""

    def prefetch(self, number: int, /) -> None:
        """Announce the next expert."""


def teacher_targets(
    task: DistillationTask, teachers: Teachers, device: str = "cpu", steps_per_fetch: int = 1
) -> Callable[[Batches], Callable[[int], Batch]]:
    """Make the training of an expert that of a student: `ExpertTraining(..., with_targets=teacher_targets(...))`.

    Args:
        task: The student's.
        teachers: The experts of the task, on `device`; used by one thread.
        device: Where student and teachers compute.
        steps_per_fetch: Steps whose targets are computed together: changes time and memory alone.
    """
    return lambda batches: TaughtBatches(batches, teachers, task, torch.device(device), steps_per_fetch).batch


class TaughtBatches:
    """The task's batches, with the velocity of each row's teacher as target; see `teacher_targets`."""

    def __init__(
        self, batches: Batches, teachers: Teachers, task: DistillationTask, device: torch.device, steps_per_fetch: int
    ) -> None:
        self._batches, self._teachers, self._task, self._device = batches, teachers, task, device
        self._steps_per_fetch = steps_per_fetch
        self._ready: dict[int, Batch] = {}

    def batch(self, step: int) -> Batch:
        """The batch of a step, on the CPU. Steps are asked for in order.

        Raises:
            ShardError: As `Batches.batch`.
            CheckpointError: A teacher cannot be read.
        """
        if step not in self._ready:
            self._ready = self._taught(range(step, min(step + self._steps_per_fetch, self._task.steps)))
        return self._ready.pop(step)

    def _taught(self, steps: range) -> dict[int, Batch]:
        """Batches of some steps. Each expert is asked for once; its rows of each step are computed separately."""
        batches = {step: self._batches.batch(step) for step in steps}
        clusters = {step: self._clusters(step) for step in steps}
        targets = {step: torch.empty_like(batch.x0) for step, batch in batches.items()}
        numbers = sorted({int(number) for of_rows in clusters.values() for number in of_rows})
        for number, following in zip_longest(numbers, numbers[1:]):
            teacher = self._teachers[number]
            if following is not None:
                self._teachers.prefetch(following)
            for step, batch in batches.items():
                rows = (clusters[step] == number).nonzero()[:, 0]
                for chunk in rows.split(_ROWS_TOGETHER):
                    targets[step][chunk] = self._velocity(teacher, batch[chunk])
        return {step: replace(batch, target=targets[step]) for step, batch in batches.items()}

    def _clusters(self, step: int) -> Tensor:
        """Cluster of each row of a step `[B]`."""
        return torch.tensor([self._task.shard_clusters[shard] for shard, _ in self._batches.rows(step)])

    @torch.no_grad()
    def _velocity(self, teacher: VelocityModel, rows: Batch) -> Tensor:
        """A teacher's velocity at the noised rows, float32 `[R, C, H, W]` on the CPU."""
        seen = rows.to(self._device)
        x_t = FLOW_MATCHING.add_noise(seen.x0, seen.noise, seen.t)
        with autocast(self._device, self._task.training.precision):
            return teacher(x_t, seen.t, teacher.project_text(seen.text, seen.text_mask)).float().cpu()
