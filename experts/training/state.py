"""What training changes, saved and restored together: weights, EMA, AdamW's moments and the loss scale."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from paris.experts.errors import CheckpointError, DivergedError
from paris.experts.training.adamw import make_optimizer
from paris.experts.training.compact_state import compact, exact_values
from paris.experts.training.config import BaseTrainingConfig
from paris.experts.training.ema import Ema
from paris.experts.training.precision import LossScale
from paris.experts.weights.checkpoint import TensorSpec, check_finite, specs_of

RESTART = "Start the same command again: it resumes from the last good snapshot."
_BUCKET_BYTES = 2 << 20


class TrainState:
    """A model in training, on its device. Every parameter takes part in its output, and it has no buffers."""

    def __init__(self, model: nn.Module, config: BaseTrainingConfig) -> None:
        self.model, self.config = model, config
        self.step = 0
        """Optimizer steps done."""
        self.parameters = dict(model.named_parameters())
        self.device = next(iter(self.parameters.values())).device
        self.ema = Ema(self.parameters)
        self.optimizer = make_optimizer(self.parameters, config)
        self.loss_scale = LossScale(self.device) if config.precision == "float16" else None
        self.buckets = _buckets(self.parameters)
        """Names of the parameters that optimizer and EMA update together."""

    @property
    def scale(self) -> Tensor | float:
        """The factor in the loss, and so in the gradients."""
        return 1.0 if self.loss_scale is None else self.loss_scale.scale

    def zero_grad(self) -> None:
        """Free all gradients."""
        for parameter in self.parameters.values():
            parameter.grad = None

    def check_finite(self) -> None:
        """Raise DivergedError if the last gradient broke a weight although the loss was finite."""
        try:
            check_finite(self.model.state_dict(), f"The model after step {self.step - 1}")
        except CheckpointError as error:
            raise DivergedError(f"{error.what} Training diverged.", RESTART) from error

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """The files of a snapshot by name, each with its live tensors, not copies."""
        scale = {} if self.loss_scale is None else {"loss_scale": self.loss_scale.state}
        optimizer = {**self.optimizer.state, **scale}
        return {"weights": self.model.state_dict(), "ema": self.ema.average, "optimizer": optimizer}

    def specs(self) -> dict[str, dict[str, TensorSpec]]:
        """Names, shapes and types for `restore`."""
        return {name: specs_of(tensors) for name, tensors in self.tensors().items()}

    def make_compact(self) -> dict[str, dict[str, Tensor]]:
        """Round the state to what its compact files hold; returns their tensors, by file."""
        files = compact(self.tensors())
        self.restore(self.step, lambda file: files[file].items())
        return files

    @torch.no_grad()
    def restore(self, step: int, saved: Callable[[str], Iterable[tuple[str, Tensor]]]) -> None:
        """Continue from a snapshot.

        Args:
            step: Steps done.
            saved: Name and value of each tensor of a file, exactly those that `specs` names or `compact_specs` of them.
        """
        self.step = step
        exact = self.tensors()
        for file in ("ema", "weights", "optimizer"):  # compact weights are differences from the EMA
            for name, value in exact_values(file, saved(file), exact["ema"].__getitem__):
                exact[file][name].copy_(value)


def _buckets(parameters: Mapping[str, Tensor]) -> list[list[str]]:
    """Names in groups of some 2 MB on a CPU; a GPU takes all at once."""
    buckets: list[list[str]] = []
    num_bytes = _BUCKET_BYTES
    for name, parameter in parameters.items():
        if num_bytes >= _BUCKET_BYTES and (parameter.device.type == "cpu" or not buckets):
            buckets.append([])
            num_bytes = 0
        buckets[-1].append(name)
        num_bytes += parameter.nbytes
    return buckets
