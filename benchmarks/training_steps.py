"""One training step, ours and the plain one, on the same weights and the same batch.

A step includes forward, loss, backward, clipping, AdamW, moving average.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.plain import PlainExpert, PlainTraining
from paris.experts.models.model import DiTExpert, initial_expert
from paris.experts.models.presets import ModelConfig
from paris.experts.seeding import generator_for
from paris.experts.training.batches import Batch
from paris.experts.training.config import TrainingConfig
from paris.experts.training.machine import MachineSettings, configure_model
from paris.experts.training.micro_batch import MicroBatch
from paris.experts.training.state import TrainState
from paris.experts.training.step import TrainStep

KINDS = ("ours", "plain")
_SEED = 0
_SMALL = 0.02


@dataclass(frozen=True)
class Case:
    """The step to measure.

    Args:
        model: The expert's shape.
        batch_size: Rows of a step.
        caption_tokens: Text tokens of each row; the rest is padding.
        precision: "float32" or "bfloat16", by autocast in both implementations.
        device: "cpu", "cuda".
        compile: Whether ours is compiled, as in `MachineSettings`.
        checkpointing: Whether ours uses activation checkpointing.
    """

    model: ModelConfig
    batch_size: int
    caption_tokens: int
    precision: str
    device: str
    compile: bool
    checkpointing: bool = False

    def start(self) -> DiTExpert:
        """Initial weights, with those that start at zero made small instead: no gradient is zero by construction."""
        model = initial_expert(self.model, _SEED)
        generator = generator_for(_SEED, "benchmark", "weights")
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1 and not parameter.any():
                    parameter.normal_(0.0, _SMALL, generator=generator)
        return model

    def batch(self) -> Batch:
        """The one batch of all steps, on the CPU."""
        m, rows, generator = self.model, self.batch_size, generator_for(_SEED, "benchmark", "batch")
        shape = (rows, m.in_channels, m.image_size, m.image_size)
        x0, noise = (torch.randn(shape, generator=generator) for _ in range(2))
        text = torch.randn(rows, m.max_text_tokens, m.text_embed_dim, generator=generator)
        mask = (torch.arange(m.max_text_tokens) < self.caption_tokens).repeat(rows, 1)
        return Batch(x0, noise, torch.rand(rows, generator=generator), text, mask)


@dataclass
class Ours:
    """Our step, the trainer's own code, in two parts."""

    step: TrainStep
    batch: Batch

    @classmethod
    def of(cls, case: Case) -> Ours:
        """Build it as `ExpertTraining` does."""
        device = torch.device(case.device)
        # As the plain training has it: no weight decay, clipping at 1, a constant rate.
        training = TrainingConfig.from_settings(
            {"steps": 10**6, "batch_size": case.batch_size, "precision": case.precision, "ema_decay": 0.9999}
        )
        model = case.start().to(device)
        configure_model(model, MachineSettings(compile=case.compile, checkpointing=case.checkpointing))
        step = TrainStep(TrainState(model, training), MicroBatch(case.batch_size))
        return cls(step, case.batch().without_padding().to(device))

    @property
    def model(self) -> nn.Module:
        """The trained model."""
        return self.step.state.model

    def forward_backward(self) -> Tensor:
        """Compute gradients; returns the loss `[]`."""
        return self.step.backward([self.batch])

    def apply(self) -> None:
        """Clip gradients, update weights and EMA."""
        self.step.update()


@dataclass
class Plain:
    """The plain step: `benchmarks.plain`."""

    training: PlainTraining
    batch: Batch
    precision: str

    @classmethod
    def of(cls, case: Case) -> Plain:
        """On the same weights as ours."""
        model = PlainExpert(case.model)
        model.load_state_dict(case.start().state_dict())
        return cls(PlainTraining(model.to(case.device)), case.batch().to(torch.device(case.device)), case.precision)

    @property
    def model(self) -> nn.Module:
        """The trained model."""
        return self.training.model

    def forward_backward(self) -> Tensor:
        """Compute gradients; returns the loss `[]`."""
        is_mixed = self.precision == "bfloat16"
        with torch.autocast(self.batch.x0.device.type, torch.bfloat16, enabled=is_mixed):
            return self.training.forward_backward(self.batch)

    def apply(self) -> None:
        """Clip gradients, update weights and EMA."""
        self.training.apply()


def make(kind: str, case: Case) -> Ours | Plain:
    """One of the two."""
    return Ours.of(case) if kind == "ours" else Plain.of(case)


def differences(ours: Ours, plain: Plain) -> dict[str, float]:
    """How far apart the two are before their first step; neither keeps a gradient.

    Returns:
        `output` and `gradient`: the largest difference, as a fraction of the largest magnitude of the output, or of the
        gradient of the same parameter.
    """
    batch, theirs = ours.batch, plain.batch
    x_t = (1 - batch.t[:, None, None, None]) * batch.x0 + batch.t[:, None, None, None] * batch.noise
    with torch.no_grad():
        one = ours.model(x_t, batch.t, batch.text, batch.text_mask)
        other = plain.model(x_t, theirs.t, theirs.text, theirs.text_mask)
    output = _relative(one, other)
    steps: tuple[Callable[[], Tensor], ...] = (ours.forward_backward, plain.forward_backward)
    for step in steps:
        step()
    others = dict(plain.model.named_parameters())
    pairs = [(parameter.grad, others[name].grad) for name, parameter in ours.model.named_parameters()]
    gradient = max(_relative(mine, his) for mine, his in pairs if mine is not None and his is not None)
    for parameter in (*ours.model.parameters(), *plain.model.parameters()):
        parameter.grad = None
    return {"output": output, "gradient": gradient}


def _relative(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())
