"""AdamW: moments in float32, or in 8 bits by the library bitsandbytes.

    exp_avg.<name>               mean of the gradients of parameter <name>
    exp_avg_sq.<name>            mean of their squares
    exp_avg_scale.<name>         8 bits alone: the largest magnitude of each block of 256 values
    exp_avg_sq_scale.<name>

Source: AdamW, Loshchilov and Hutter, arXiv 1711.05101, algorithm 2; 8 bits, Dettmers et al., arXiv 2110.02861.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from paris.experts.errors import TrainingError
from paris.experts.installed import missing_module
from paris.experts.training.config import BaseTrainingConfig
from paris.experts.weights.checkpoint import TensorSpec

MOMENTS = ("exp_avg", "exp_avg_sq")
EPSILON = 1e-8
"""Added to the root of the second moment."""
_BLOCK = 256
_SMALLEST_IN_8_BITS = 4096
"""Smaller tensors keep float32 moments: they take little memory, and norms and biases are the most sensitive."""


class Optimizer(Protocol):
    """What a `TrainState` needs of an optimizer."""

    state: dict[str, Tensor]
    """What a snapshot holds; the live tensors, not copies."""

    def update(
        self, names: Sequence[str], step: int, learning_rate: float, divisor: Tensor, overflow: Tensor | None = None
    ) -> None:
        """Move some parameters by their gradients; within a step each parameter is named once.

        Args:
            names: Of the parameters.
            step: Steps done before.
            learning_rate: Of this step.
            divisor: Of the gradients `[]`; changes them in place.
            overflow: 1 to change nothing, else 0 `[]`; None: 0.
        """


def make_optimizer(parameters: Mapping[str, Tensor], config: BaseTrainingConfig) -> Optimizer:
    """The optimizer for `config.moments`; raises MissingModuleError without its library."""
    return AdamW8Bit(parameters, config) if config.moments == "8bit" else AdamW(parameters, config)


class AdamW:
    """Moments in float32.

    It is torch's own, in its functional form: the optimizer classes import torch's whole compiler, which would cost
    every trainer process a second and some 35 MB.
    """

    def __init__(self, parameters: Mapping[str, Tensor], config: BaseTrainingConfig) -> None:
        self._parameters, self._config = parameters, config
        self.state = {
            f"{kind}.{name}": torch.zeros_like(parameter) for kind in MOMENTS for name, parameter in parameters.items()
        }
        self._counts = {name: torch.zeros((), device=parameter.device) for name, parameter in parameters.items()}

    def update(
        self, names: Sequence[str], step: int, learning_rate: float, divisor: Tensor, overflow: Tensor | None = None
    ) -> None:
        """Implement `Optimizer`."""
        config = self._config
        parameters = [self._parameters[name] for name in names]
        gradients: list[Any] = [parameter.grad for parameter in parameters]
        counts = [self._counts[name] for name in names]
        torch._foreach_zero_(counts)
        torch._foreach_add_(counts, step)
        grad_scale: Tensor | None = divisor
        if divisor.device.type not in ("cpu", "cuda"):
            # The fused kernels of other devices take neither divisor nor overflow.
            if overflow is not None and bool(overflow):
                return
            torch._foreach_div_(gradients, divisor)
            grad_scale = overflow = None
        adamw(
            parameters,
            gradients,
            *([self.state[f"{kind}.{name}"] for name in names] for kind in MOMENTS),
            max_exp_avg_sqs=[],
            state_steps=counts,
            fused=True,
            grad_scale=grad_scale,
            found_inf=overflow,
            amsgrad=False,
            beta1=config.beta1,
            beta2=config.beta2,
            lr=learning_rate,
            weight_decay=config.weight_decay,
            eps=EPSILON,
            maximize=False,
        )


class AdamW8Bit:
    """Moments in 8 bits, a quarter of the memory; those of small parameters in float32."""

    def __init__(self, parameters: Mapping[str, Tensor], config: BaseTrainingConfig) -> None:
        self._functional = _load_library()
        self._parameters, self._config = parameters, config
        large = {name: p for name, p in parameters.items() if p.numel() >= _SMALLEST_IN_8_BITS}
        self._small = AdamW({name: p for name, p in parameters.items() if name not in large}, config)
        codes = {f"{k}.{name}": torch.zeros_like(p, dtype=torch.uint8) for k in MOMENTS for name, p in large.items()}
        scales = {
            f"{kind}_scale.{name}": torch.zeros(-(-p.numel() // _BLOCK), device=p.device)
            for kind in MOMENTS
            for name, p in large.items()
        }
        self.state = {**codes, **scales, **self._small.state}
        device = next(iter(parameters.values())).device
        self._maps = [self._functional.create_dynamic_map(signed=is_signed).to(device) for is_signed in (True, False)]

    def update(
        self, names: Sequence[str], step: int, learning_rate: float, divisor: Tensor, overflow: Tensor | None = None
    ) -> None:
        """Implement `Optimizer`."""
        small = [name for name in names if f"exp_avg_scale.{name}" not in self.state]
        if small:
            self._small.update(small, step, learning_rate, divisor, overflow)
        if overflow is not None and bool(overflow):
            return
        large = [name for name in names if f"exp_avg_scale.{name}" in self.state]
        if large:
            torch._foreach_div_([self._parameters[name].grad for name in large], divisor)
        for name in large:
            self._update_large(name, step, learning_rate)

    def _update_large(self, name: str, step: int, learning_rate: float) -> None:
        config, parameter = self._config, self._parameters[name]
        self._functional.optimizer_update_8bit_blockwise(
            "adam",
            parameter.grad,
            parameter,
            *(self.state[f"{kind}.{name}"] for kind in MOMENTS),
            beta1=config.beta1,
            beta2=config.beta2,
            beta3=0.0,
            alpha=0.0,
            eps=EPSILON,
            step=step + 1,
            lr=learning_rate,
            qmap1=self._maps[0],
            qmap2=self._maps[1],
            absmax1=self.state[f"exp_avg_scale.{name}"],
            absmax2=self.state[f"exp_avg_sq_scale.{name}"],
            weight_decay=config.weight_decay,
        )


def moment_shapes(shapes: Mapping[str, tuple[int, ...]], moments: str) -> dict[str, TensorSpec]:
    """Names, shapes and types of the state of an optimizer, without making one.

    Args:
        shapes: Of the parameters, by name.
        moments: As in `BaseTrainingConfig`.
    """
    found = {}
    for kind in MOMENTS:
        for name, shape in shapes.items():
            in_8_bits = moments == "8bit" and math.prod(shape) >= _SMALLEST_IN_8_BITS
            found[f"{kind}.{name}"] = TensorSpec(shape, torch.uint8 if in_8_bits else torch.float32)
            if in_8_bits:
                found[f"{kind}_scale.{name}"] = TensorSpec((-(-math.prod(shape) // _BLOCK),))
    return found


def read_moments(read: Callable[[str], Tensor], name: str) -> tuple[Tensor, Tensor]:
    """Both moments of a parameter from a saved state, in float64.

    Args:
        read: The saved tensor of a name.
        name: Of the parameter.

    Raises:
        MissingModuleError: They have 8 bits, and bitsandbytes is not installed.
    """
    mean, square = (_read_moment(read, kind, name) for kind in MOMENTS)
    return mean, square


def _read_moment(read: Callable[[str], Tensor], kind: str, name: str) -> Tensor:
    saved = read(f"{kind}.{name}")
    if saved.dtype != torch.uint8:
        return saved.double()
    values = _load_library().create_dynamic_map(signed=kind == MOMENTS[0]).double()
    scales = read(f"{kind}_scale.{name}").double().repeat_interleave(_BLOCK)
    return (values[saved.flatten().long()] * scales[: saved.numel()]).view(saved.shape)


def _load_library() -> Any:
    try:
        import bitsandbytes.functional
    except ImportError as error:
        what = f"The run keeps its optimizer's moments in 8 bits, and bitsandbytes cannot be used: {error}."
        raise missing_module(error) or TrainingError(what) from error
    return bitsandbytes.functional
