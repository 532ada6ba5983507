"""A model being learned: its weights, AdamW's state and the moving average, in step with each other."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from paris.experts.errors import CheckpointError, TrainingError
from paris.experts.training.adamw import make_optimizer
from paris.experts.training.config import OptimizerConfig
from paris.experts.training.ema import Ema, ema_decay_at
from paris.experts.training.loss_scale import LossScale
from paris.experts.weights.checkpoint import TensorSpec, check_finite, specs_of

_LOSS_DECAY = 0.98
_GO_BACK = "Start the same command again: it goes on from the last good snapshot."
_SWEEP_BYTES = 2 << 20


class Learner:
    """Applies gradients, and can be saved and restored exactly.

    Args:
        model: What is learned, on its device; every parameter takes part in its output.
        config: How.
        loss_scale: What the loss was multiplied with when the gradients were made; None: nothing.
    """

    def __init__(self, model: nn.Module, config: OptimizerConfig, loss_scale: LossScale | None = None) -> None:
        self.model = model
        self.loss_scale = loss_scale
        self.step = 0
        self._config = config
        self._parameters = dict(model.named_parameters())
        self._ema = Ema(model.state_dict(), config.ema_decay)
        self._optimizer = make_optimizer(self._parameters, config)
        self._sweeps = _sweeps(model.state_dict())

    @torch.no_grad()
    def apply_gradients(self) -> None:
        """Do one optimizer step with the gradients that are there, and clear them.

        Gradients that overflowed under a loss scale change nothing: that step is skipped.
        """
        divisor, skipped = self._divisor()
        self._ema.wait()
        for names in self._sweeps:
            learned = [name for name in names if name in self._parameters]
            self._optimizer.update(learned, self.step, divisor, skipped)
            self._ema.update(self.step, names)
        self.drop_gradients()
        self.step += 1

    def drop_gradients(self) -> None:
        """Forget the gradients that are there."""
        for parameter in self._parameters.values():
            parameter.grad = None

    def _divisor(self) -> tuple[Tensor | None, Tensor | None]:
        """What gradients are divided by, and 1 where the step is to be skipped, else 0; both `[]`, None where never."""
        clip, scale = self._config.grad_clip, self.loss_scale
        if clip is None and scale is None:
            return None, None
        gradients = [parameter.grad for parameter in self._parameters.values() if parameter.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if scale is None:
            return (norm / clip).clamp(min=1.0), None
        divisor = scale.scale * (1.0 if clip is None else (norm / scale.scale / clip).clamp(min=1.0))
        is_overflow = ~norm.isfinite()
        scale.update(is_overflow)
        return divisor, is_overflow.float()

    @property
    def average(self) -> dict[str, Tensor]:
        """The EMA weights under the model's own names; the live tensors, not copies."""
        return self._ema.average

    def parts(self) -> dict[str, dict[str, Tensor]]:
        """All state, as a snapshot holds it: `weights`, `ema`, `optimizer`; the live tensors, not copies."""
        scale = {} if self.loss_scale is None else {"loss_scale": self.loss_scale.state}
        optimizer = {**self._optimizer.state, **scale}
        return {"weights": self.model.state_dict(), "ema": self._ema.average, "optimizer": optimizer}

    def specs(self) -> dict[str, dict[str, TensorSpec]]:
        """What `restore` takes."""
        return {name: specs_of(tensors) for name, tensors in self.parts().items()}

    @torch.no_grad()
    def restore(self, step: int, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Continue from a snapshot as if training had never stopped.

        Args:
            step: Optimizer steps done.
            parts: As `parts` returns them, with exactly the tensors that `specs` names.
        """
        self.step = step
        for part, tensors in self.parts().items():
            for name, tensor in tensors.items():
                tensor.copy_(parts[part][name])


def _sweeps(weights: Mapping[str, Tensor]) -> list[list[str]]:
    """Groups of tensors that optimizer and average go over together.

    On a CPU a group's weights are still in the cache when the average reads them; a GPU takes all at once.
    """
    groups: list[list[str]] = []
    size = _SWEEP_BYTES
    for name, weight in weights.items():
        if size >= _SWEEP_BYTES and (weight.device.type == "cpu" or not groups):
            groups.append([])
            size = 0
        groups[-1].append(name)
        size += weight.nbytes
    return groups


def make_deterministic(device: torch.device, num_threads: int) -> None:
    """Settings of the whole process under which the same sums come out the same.

    Equal bits need equal hardware, an equal version of torch, and an equal number of threads, because threads decide
    in which order a sum is taken.

    Args:
        device: Where the model computes.
        num_threads: CPU threads of torch.
    """
    torch.set_num_threads(num_threads)
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        # Kernels without a deterministic form warn: a volunteer's GPU should train rather than refuse.
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Else every new tensor is filled before it is written: 500 kernels a step of DiT-B/2.
        torch.utils.deterministic.fill_uninitialized_memory = False


def smoothed_loss(loss: float | None, losses: Sequence[Tensor], first_step: int) -> float:
    """Take the losses of some steps into a running mean, whose memory is some 50 steps.

    Args:
        loss: The mean so far; None before the first step.
        losses: One `[]` a step, at least one; reading them makes the CPU wait for the device.
        first_step: Number of the first of them, from 0.

    Raises:
        TrainingError: One of them is not finite; the message names its step.
    """
    mean = 0.0 if loss is None else loss
    for step, value in enumerate(torch.stack(list(losses)).tolist(), first_step):
        if not math.isfinite(value):
            raise TrainingError(f"The loss of step {step} is {value}: training diverged.", _GO_BACK)
        keep = 0.0 if step == 0 else ema_decay_at(step, _LOSS_DECAY)
        mean = keep * mean + (1.0 - keep) * value
    return mean


def check_weights(learner: Learner) -> None:
    """Refuse weights that the last gradient broke although the loss was still finite.

    Raises:
        TrainingError: A weight is not finite; the message names the step.
    """
    try:
        check_finite(learner.model.state_dict(), f"The model after step {learner.step - 1}")
    except CheckpointError as error:
        raise TrainingError(f"{error.what} Training diverged.", _GO_BACK) from error
