"""K experts distilled into one dense model: every row is taught by the expert of its cluster, and by no other.

The student sees the rows of all clusters in their natural proportions, and learns `||v_student - v_teacher||^2`. No
router is needed: which expert teaches a row is known. An epsilon expert teaches the velocity that it implies. The
training itself is `ExpertTraining`, which is given lessons in place of batches.

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
from paris.experts.training.config import TrainingTask
from paris.experts.training.gradients import precise
from paris.experts.training.snapshots import Sha256

STEPS_TOGETHER = 8
"""Steps that are taught in one go where not all experts are in memory: so often less is each of them fetched."""
_ROWS_TOGETHER = 64


class DistillationTask(TrainingTask):
    """One student to be trained: the shards of all clusters, and who teaches them."""

    shard_clusters: tuple[int, ...]
    """Cluster of each shard, in the order of `shard_rows`."""
    teachers: tuple[Sha256, ...]
    """SHA-256 of each expert's weights, in order: another teacher makes it another task."""

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
        """The expert, ready to compute until another one is asked for."""

    def prefetch(self, number: int, /) -> None:
        """Told which expert will be asked for next."""


class Lessons:
    """The task's batches, each with what the teachers say of its rows.

    Args:
        batches: Rows, times, noise and text of each step.
        teachers: All experts; asked from one thread.
        task: Whose row is whose.
        device: Where the teachers are.
        steps_together: Steps that are taught in one go. The lessons are the same for any number.
    """

    def __init__(
        self, batches: Batches, teachers: Teachers, task: DistillationTask, device: torch.device, steps_together: int
    ) -> None:
        self._batches, self._teachers, self._task, self._device = batches, teachers, task, device
        self._steps_together = steps_together
        self._ready: dict[int, Batch] = {}

    def batch(self, step: int) -> Batch:
        """The lesson of one step, on the CPU. Ask in the order of the steps.

        Raises:
            ShardError: As `Batches.batch`.
            CheckpointError: A teacher cannot be read.
        """
        if step not in self._ready:
            self._ready = self._taught(range(step, min(step + self._steps_together, self._task.steps)))
        return self._ready.pop(step)

    def _taught(self, steps: range) -> dict[int, Batch]:
        """Lessons of some steps. Each expert is asked for once, and for each step's rows by themselves."""
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
                for some in rows.split(_ROWS_TOGETHER):
                    targets[step][some] = self._velocity(teacher, batch.take(some))
        return {step: replace(batch, target=targets[step]) for step, batch in batches.items()}

    def _clusters(self, step: int) -> Tensor:
        """Cluster of each row of a step `[B]`."""
        return torch.tensor([self._task.shard_clusters[shard] for shard, _ in self._batches.rows(step)])

    @torch.no_grad()
    def _velocity(self, teacher: VelocityModel, rows: Batch) -> Tensor:
        """What a teacher says of some rows, float32 `[R, C, H, W]` on the CPU."""
        seen = rows.to(self._device)
        x = FLOW_MATCHING.add_noise(seen.x0, seen.noise, seen.t)
        with precise(self._device, self._task.training.precision):
            return teacher(x, seen.t, teacher.project_text(seen.text, seen.text_mask)).float().cpu()


def lessons_of(
    task: DistillationTask, teachers: Teachers, device: str = "cpu", steps_together: int = 1
) -> Callable[[Batches], Callable[[int], Batch]]:
    """What makes the training of an expert that of a student: `ExpertTraining(task, ..., lessons=lessons_of(...))`.

    Args:
        task: What is trained.
        teachers: The experts whose digests the task names, on `device`.
        device: Where student and teachers compute.
        steps_together: `STEPS_TOGETHER` where not all teachers are in memory. Changes nothing but time and memory.
    """

    def lessons(batches: Batches) -> Callable[[int], Batch]:
        return Lessons(batches, teachers, task, torch.device(device), steps_together).batch

    return lessons
