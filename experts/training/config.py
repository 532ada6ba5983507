"""A training task, its settings, and what a training reports."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text import TextConfig
from paris.experts.models.initial_weights import InitialWeights
from paris.experts.models.presets import ModelConfig
from paris.experts.objectives.objectives import Objective
from paris.experts.settings import Settings

Fraction = Annotated[float, Field(ge=0, lt=1)]


class BaseTrainingConfig(Settings):
    """What the trainings of experts and of the router have in common."""

    steps: Annotated[int, Field(ge=1, lt=10**8)]
    """Optimizer steps in all."""
    batch_size: Annotated[int, Field(ge=1, le=2**20)]
    """Rows of one step."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-4
    """At its peak, after the warm-up."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps over which the learning rate rises linearly."""
    final_learning_rate: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Where the cosine after the warm-up ends, as a fraction of `learning_rate`; 1 keeps it constant."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Decoupled decay of all weights, per step, times the learning rate."""
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    grad_clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest norm of the gradient; None: not clipped."""
    ema_decay: Fraction = 0.9999
    moments: Literal["float32", "8bit"] = "float32"
    """Of AdamW's state; 8 bits take a quarter of the memory, and the library bitsandbytes on every node."""
    state: Literal["exact", "compact"] = "exact"
    """Form of the scheduled snapshots. "compact": training goes on from values that fit into 8 bits
    (`compact_state.py`). The name of a form stands for its format, and the task's digest covers it."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the model's arithmetic; weights and optimizer are float32 in all. float16 is for GPUs without bfloat16."""
    micro_batch_size: Annotated[int, Field(ge=1)] | None = None
    """Rows in memory together; None: the whole batch. Changes rounding, nothing else."""
    snapshot_every: Annotated[int, Field(ge=1)] = 1000
    """Steps between two scheduled snapshots, which are also the links of the chain of commitments."""
    window_shards: Annotated[int, Field(ge=1)] = 8
    """Shards over which rows are mixed: so many are decoded in memory, and fetched before the first step."""

    @property
    def compact_before(self) -> int:
        """Scheduled snapshots before this step are compact; that of the last step never is, as nothing follows."""
        return self.steps if self.state == "compact" else 0

    def learning_rate_at(self, step: int) -> float:
        """Of a step, counted from 0.

        Source: linear warm-up, then a half cosine (Loshchilov and Hutter, arXiv 1608.03983, without restarts).
        """
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        progress = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
        return self.learning_rate * (self.final_learning_rate + (1.0 - self.final_learning_rate) * cosine)


class TrainingConfig(BaseTrainingConfig):
    """How an expert is trained."""

    objective: Objective = Objective()
    """What the expert learns to predict."""
    caption_dropout: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Probability that a row is seen with the null prompt, for classifier-free guidance."""
    time_sampling: Literal["uniform", "logit-normal"] = "uniform"
    """Distribution of flow times; logit-normal (Esser et al., arXiv 2403.03206) dwells on the middle."""


def task_digest(task: Settings) -> str:
    """SHA-256 of all that decides a task's result; without `micro_batch_size`, which is rounding.

    An exact state is not named: tasks that are older than this setting keep their digest.
    """
    content = task.model_dump(mode="json", exclude={"training": {"micro_batch_size"}})
    if content["training"]["state"] == "exact":
        del content["training"]["state"]
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class TrainingTask(Settings):
    """One expert to be trained; nothing of the machine that trains it."""

    run_id: str
    seed: Annotated[int, Field(ge=0)]
    """The run's seed."""
    task_id: str
    """Such as "expert-3"."""
    model: ModelConfig
    training: TrainingConfig
    text: TextConfig
    codec: CodecConfig
    shard_rows: tuple[Annotated[int, Field(ge=1)], ...]
    """Rows of each shard, in the order of the manifest."""
    initial_weights: InitialWeights | None = None
    """The file that all experts of the run start from; None: the weights of the run's seed."""

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return self.training.steps

    @property
    def digest(self) -> str:
        """As `task_digest`."""
        return task_digest(self)

    @model_validator(mode="after")
    def _text_fits(self) -> Self:
        if self.text.dim != self.model.text_embed_dim:
            raise ValueError(f"text width {self.text.dim} is not the model's {self.model.text_embed_dim}")
        return self


@dataclass(frozen=True)
class Progress:
    """A report of a running training."""

    step: int
    """Optimizer steps done."""
    steps: int
    """Optimizer steps in all."""
    loss: float | None
    """Training loss, smoothed over some 50 steps; None before the first step."""
    steps_per_s: float
    """Since the last report."""
    commitment: str | None
    """The last link of the chain, 64 hex digits; None before the first scheduled snapshot."""
    commitment_step: int
    """Its step; 0 before the first."""
    note: str = ""
    """A sentence about something unusual, such as a damaged snapshot; mostly empty."""


@dataclass(frozen=True)
class Finished:
    """The end of a call of `ExpertTraining.run`; loss and commitments as in `Progress`."""

    step: int
    is_complete: bool
    """All steps of the task, or of its leg, are done; False where it was told to stop."""
    weights_path: Path | None
    """`expert.safetensors`, the EMA weights; None before the task's last step."""
    weights_sha256: str | None
    final_loss: float | None
    commitment: str | None
    commitment_step: int
    notes: tuple[str, ...]
