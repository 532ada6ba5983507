"""A model being learned: its weights, AdamW's state and the moving average, in step with each other."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from paris.experts.checkpoint import TensorSpec, check_finite, specs_of
from paris.experts.ema import Ema, ema_decay_at
from paris.experts.errors import CheckpointError, TrainingError
from paris.experts.training_config import OptimizerConfig

_LOSS_DECAY = 0.98
_GO_BACK = "Start the same command again: it goes on from the last good snapshot."
_EPSILON = 1e-8
_MOMENTS = ("exp_avg", "exp_avg_sq")


class Learner:
    """Applies gradients, and can be saved and restored exactly.

    AdamW is torch's own, in its functional form: the optimizer classes import torch's whole compiler, which would
    cost every trainer process a second and some 35 MB.

    Args:
        model: What is learned, on its device; every parameter takes part in its output.
        config: How.
    """

    def __init__(self, model: nn.Module, config: OptimizerConfig) -> None:
        self.model = model
        self.step = 0
        self._config = config
        self._parameters = dict(model.named_parameters())
        self._ema = Ema(model.state_dict(), config.ema_decay)
        self._moments = {
            kind: {name: torch.zeros_like(parameter) for name, parameter in self._parameters.items()}
            for kind in _MOMENTS
        }
        self._counts = self._new_counts()

    @torch.no_grad()
    def apply_gradients(self) -> None:
        """Do one optimizer step with the gradients that are there, and clear them.

        Source: AdamW, Loshchilov and Hutter, arXiv 1711.05101, algorithm 2.
        """
        config, parameters = self._config, list(self._parameters.values())
        if config.grad_clip is not None:
            nn.utils.clip_grad_norm_(parameters, config.grad_clip)
        adamw(
            parameters,
            [parameter.grad for parameter in parameters],
            *(list(self._moments[kind].values()) for kind in _MOMENTS),
            max_exp_avg_sqs=[],
            state_steps=self._counts,
            fused=True,
            amsgrad=False,
            beta1=config.beta1,
            beta2=config.beta2,
            lr=config.learning_rate_at(self.step),
            weight_decay=config.weight_decay,
            eps=_EPSILON,
            maximize=False,
        )
        for parameter in parameters:
            parameter.grad = None
        self._ema.update(self.step)
        self.step += 1

    @property
    def average(self) -> dict[str, Tensor]:
        """The EMA weights under the model's own names; the live tensors, not copies."""
        return self._ema.average

    def parts(self) -> dict[str, dict[str, Tensor]]:
        """All state, as a snapshot holds it: `weights`, `ema`, `optimizer`; the live tensors, not copies."""
        moments = {f"{kind}.{name}": moment for kind in _MOMENTS for name, moment in self._moments[kind].items()}
        return {"weights": self.model.state_dict(), "ema": self._ema.average, "optimizer": moments}

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
        self._counts = self._new_counts()

    def _new_counts(self) -> list[Tensor]:
        """AdamW's own count of steps, one beside each parameter, as its kernel wants it."""
        step = float(self.step)
        return [torch.tensor(step, dtype=torch.float32, device=p.device) for p in self._parameters.values()]


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
