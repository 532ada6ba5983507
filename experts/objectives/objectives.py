"""Training objectives, and the conversion of their models to velocities for sampling.

"flow"      the velocity on the straight path from data to noise (`flow.py`)
"epsilon"   the noise of a DDPM forward process (`schedules.py`)

Sampling is on the straight path. `as_velocity` converts an epsilon model without training, after the heterogeneous
model of arXiv 2603.06741.

Shapes: B rows; pictures, noise and outputs are `[B, ...]`, times `[B]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch import Tensor, nn

from paris.experts.objectives.flow import interpolate, velocity
from paris.experts.objectives.schedules import ScheduleName, signal_and_noise, time_at
from paris.experts.settings import Settings

if TYPE_CHECKING:
    from paris.experts.models.model import TextContext
    from paris.experts.models.presets import ModelConfig

MAX_DATA = 20.0
"""Largest magnitude of an estimate of the data (arXiv 2603.06741)."""
MIN_SIGNAL = 0.01
"""Lower bound of a divisor alpha (arXiv 2603.06741)."""
DAMPED_AFTER = 0.85
"""Flow time after which estimates of the data are damped (arXiv 2603.06741; the factor is ours, see `damped`)."""


class Objective(Settings):
    """The prediction target and the forward process of a model."""

    kind: Literal["flow", "epsilon"] = "flow"
    schedule: ScheduleName = "cosine"
    """Of "epsilon"; flow matching has one path."""

    def add_noise(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """The model's input `x_t` `[B, ...]`.

        Args:
            x0: Data `[B, ...]`.
            noise: Standard normal `[B, ...]`.
            t: The expert's own time `[B]` in [0, 1]; 1 is noise.

        Source: flow, `interpolate`; epsilon, Ho et al., arXiv 2006.11239, equation 4.
        """
        if self.kind == "flow":
            return interpolate(x0, noise, t)
        alpha, sigma = (_like(part, x0) for part in signal_and_noise(self.schedule, _at_least_float32(t)))
        return alpha * x0 + sigma * noise

    def target(self, x0: Tensor, noise: Tensor) -> Tensor:
        """What the model's output is compared with `[B, ...]`: the velocity, or the noise."""
        return velocity(x0, noise) if self.kind == "flow" else noise

    def loss(self, output: Tensor, x0: Tensor, noise: Tensor, per_row: bool = False) -> Tensor:
        """Mean squared error against `target`, computed in float32.

        Args:
            output: The model's prediction at `add_noise(x0, noise, t)`, `[B, ...]`.
            x0: Data `[B, ...]`.
            noise: The noise of the input `[B, ...]`.
            per_row: Return the mean of each row `[B]` instead of the mean over everything `[]`.

        Source: flow, Lipman et al., arXiv 2210.02747, equation 9; epsilon, Ho et al., arXiv 2006.11239, equation 14.
        """
        squared = (output.float() - self.target(x0, noise).float()).square()
        return squared.flatten(1).mean(1) if per_row else squared.mean()


FLOW_MATCHING = Objective()


class VelocityModel(Protocol):
    """An expert in sampling: a `DiTExpert` of flow matching, or `as_velocity` of any other."""

    config: ModelConfig

    def project_text(self, text: Tensor | None, text_mask: Tensor | None = None) -> TextContext:
        """See `DiTExpert.project_text`."""

    def __call__(self, x: Tensor, t: Tensor, text: TextContext) -> Tensor:
        """Velocity `[B, C, H, W]` at `x` and flow time `t` `[B]`."""


def as_velocity(model: nn.Module, objective: Objective) -> VelocityModel:
    """A model of any objective as a velocity: itself for flow matching, else a wrapper that shares its weights."""
    return model if objective.kind == "flow" else EpsilonAsVelocity(model, objective)


class EpsilonAsVelocity(nn.Module):
    """An epsilon expert as a velocity on the straight path.

    A point `x = (1 - t) x0 + t noise` divided by `sqrt((1 - t)^2 + t^2)` is a point of the variance preserving path,
    at the time of the same ratio of signal to noise: the input of the expert. Its output `eps` gives
    `x0_hat = (x - sigma eps) / alpha` and `v = eps - x0_hat`.

    Source: arXiv 2603.06741, with x0_hat in [-20, 20], alpha at least 0.01, and damping after t = 0.85. The change of
        paths and the damping factor are ours: the paper's notes do not give them.
    """

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    @property
    def config(self) -> ModelConfig:
        """See `VelocityModel`."""
        return self.model.config

    def project_text(self, text: Tensor | None, text_mask: Tensor | None = None) -> TextContext:
        """See `VelocityModel`."""
        return self.model.project_text(text, text_mask)

    def forward(
        self, x: Tensor, t: Tensor, text: Tensor | TextContext | None, text_mask: Tensor | None = None
    ) -> Tensor:
        """The velocity expected at `x`.

        Args:
            x: A point of the straight path `[B, C, H, W]`.
            t: Flow time `[B]` in [0, 1]; 1 is noise.
            text: As `DiTExpert.forward`.
            text_mask: As `DiTExpert.forward`.

        Returns:
            `[B, C, H, W]` in the dtype of `x`; computed in float32, since near t = 1 errors are divided by `alpha`.
        """
        t, point = _at_least_float32(t), _at_least_float32(x)
        length = torch.hypot(1 - t, t)
        alpha, sigma = (1 - t) / length, t / length
        seen = point / _like(length, point)
        own_time = time_at(self.objective.schedule, alpha, sigma)
        masks = () if text_mask is None else (text_mask,)
        noise = _at_least_float32(self.model(seen, own_time, text, *masks))
        x0 = (seen - _like(sigma, point) * noise) / _like(alpha.clamp(min=MIN_SIGNAL), point)
        return (noise - damped(x0.clamp(-MAX_DATA, MAX_DATA), t)).to(x.dtype)


def damped(x0: Tensor, t: Tensor) -> Tensor:
    """Shrink estimates `x0` `[B, ...]` of the data that are too large, at flow times `t` `[B]` near 1.

    There an error of the predicted noise is `sigma / alpha` times as large in the data. The mean square of an exact
    estimate is at most that of the data, about one (scaled latents, or pixels in [-1, 1]); the excess is error. So a
    row of mean square `m > 1` is multiplied by `1 / m`, the Wiener factor of signal 1 and error `m - 1`.

    Source: ours; arXiv 2603.06741 damps the velocity after t = 0.85 by a factor that its notes do not give.
    """
    mean_square = x0.square().flatten(1).mean(1)
    factor = torch.where(t > DAMPED_AFTER, 1 / mean_square.clamp(min=1.0), torch.ones_like(mean_square))
    return _like(factor, x0) * x0


def _at_least_float32(values: Tensor) -> Tensor:
    # float64 stays, for tests of the formulas.
    return values if values.dtype == torch.float64 else values.float()


def _like(values: Tensor, rows: Tensor) -> Tensor:
    """`[B]` as `[B, 1, ...]` in the dtype of the rows that it is multiplied with."""
    return values.to(rows.dtype).reshape(-1, *[1] * (rows.dim() - 1))
