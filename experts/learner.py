"""A model being learned: its weights, AdamW's state and the moving average, in step with each other."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from paris.experts.checkpoint import TensorSpec, check_finite, specs_of
from paris.experts.ema import Ema, ema_decay_at
from paris.experts.errors import CheckpointError, TrainingError
from paris.experts.training_config import OptimizerConfig

_LOSS_DECAY = 0.98
_GO_BACK = "Start the same command again: it goes on from the last good snapshot."
_MOMENTS = ("exp_avg", "exp_avg_sq")


class Learner:
    """Applies gradients, and can be saved and restored exactly.

    Args:
        model: What is learned, on its device, with gradients.
        config: How.
    """

    def __init__(self, model: nn.Module, config: OptimizerConfig) -> None:
        self.model = model
        self.step = 0
        self._config = config
        self._parameters = dict(model.named_parameters())
        self._ema = Ema(model.state_dict(), config.ema_decay)
        self._optimizer = torch.optim.AdamW(
            self._parameters.values(),
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
            fused=True,
        )
        self._fill_moments({})

    def apply_gradients(self) -> None:
        """Do one optimizer step with the gradients that are there, and clear them."""
        if self._config.grad_clip is not None:
            nn.utils.clip_grad_norm_(self._parameters.values(), self._config.grad_clip)
        self._optimizer.param_groups[0]["lr"] = self._config.learning_rate_at(self.step)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._ema.update(self.step)
        self.step += 1

    @property
    def average(self) -> dict[str, Tensor]:
        """The EMA weights under the model's own names; the live tensors, not copies."""
        return self._ema.average

    def parts(self) -> dict[str, dict[str, Tensor]]:
        """All state, as a snapshot holds it: `weights`, `ema`, `optimizer`."""
        state = self._optimizer.state
        moments = {f"{kind}.{name}": state[p][kind] for kind in _MOMENTS for name, p in self._parameters.items()}
        return {"weights": self.model.state_dict(), "ema": self._ema.average, "optimizer": moments}

    def specs(self) -> dict[str, dict[str, TensorSpec]]:
        """What `restore` takes."""
        return {name: specs_of(tensors) for name, tensors in self.parts().items()}

    def restore(self, step: int, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Continue from a snapshot as if training had never stopped.

        Args:
            step: Optimizer steps done.
            parts: As `parts` returns them, with exactly the tensors that `specs` names.
        """
        self.step = step
        self.model.load_state_dict(parts["weights"])
        for name, average in self._ema.average.items():
            average.copy_(parts["ema"][name])
        self._fill_moments(parts["optimizer"])

    def _fill_moments(self, saved: Mapping[str, Tensor]) -> None:
        """Set AdamW's state; where nothing is saved, to what it starts with."""
        for name, parameter in self._parameters.items():
            moments = {kind: torch.zeros_like(parameter) for kind in _MOMENTS}
            for kind in _MOMENTS:
                if f"{kind}.{name}" in saved:
                    moments[kind].copy_(saved[f"{kind}.{name}"])
            # Fused AdamW wants its own count of steps as float32 beside the parameter.
            count = torch.tensor(float(self.step), dtype=torch.float32, device=parameter.device)
            self._optimizer.state[parameter] = {"step": count, **moments}


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
