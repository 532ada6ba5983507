"""What an expert learns to predict, and how experts that learned different things are sampled as one model.

"flow"      the velocity on the straight path from data to noise (`flow.py`)
"epsilon"   the noise in a DDPM mixture (`schedules.py`)

All sampling happens on the straight path. An epsilon expert is asked there through `as_velocity`, as the heterogeneous
model of arXiv 2603.06741 does without training anything again.

Shapes: B rows; pictures, noise and outputs are `[B, ...]`, times `[B]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import torch
from torch import Tensor, nn

from paris.experts.objectives.flow import interpolate, velocity
from paris.experts.objectives.schedules import ScheduleName, signal_and_noise, time_at
from paris.experts.settings import Settings

if TYPE_CHECKING:
    from paris.experts.models.model import TextContext

MAX_DATA = 20.0
"""Largest magnitude of an estimate of the data (arXiv 2603.06741)."""
MIN_SIGNAL = 0.01
"""Smallest signal that is divided by (arXiv 2603.06741)."""
DAMPED_AFTER = 0.85
"""Flow time after which estimates of the data are damped (arXiv 2603.06741; by how much is ours: `damped`)."""


class Objective(Settings):
    """What an expert learns to predict."""

    kind: Literal["flow", "epsilon"] = "flow"
    schedule: ScheduleName = "cosine"
    """How the noise grows over time; read for "epsilon" alone, flow matching has one path."""

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
        alpha, sigma = (_like(part, x0) for part in signal_and_noise(self.schedule, _fine(t)))
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
    """What sampling needs of an expert; `DiTExpert` is one, `as_velocity` makes one of any objective."""

    config: Any
    """Has `in_channels` and `image_size`."""

    def project_text(self, text: Tensor, text_mask: Tensor | None = None) -> TextContext:
        """Text as this expert's layers see it."""

    def __call__(self, x: Tensor, t: Tensor, text: TextContext) -> Tensor:
        """Velocity `[B, C, H, W]` at `x`, flow time `t` `[B]`."""


def as_velocity(model: nn.Module, objective: Objective) -> VelocityModel:
    """An expert as sampling asks it, whatever it learned.

    Args:
        model: A `DiTExpert`, or whatever answers as one.
        objective: What it learned to predict.

    Returns:
        The model itself for flow matching, else a wrapper around it that shares its weights.
    """
    return cast(VelocityModel, model if objective.kind == "flow" else EpsilonAsVelocity(model, objective))


class EpsilonAsVelocity(nn.Module):
    """An epsilon expert that answers with the velocity on the straight path.

    The paper's (arXiv 2603.06741, as its notes give it): `x0_hat = (x - sigma eps) / alpha`, `v = eps - x0_hat`, with
    x0_hat within [-20, 20], alpha at least 0.01, and damping after t = 0.85. Ours, where the notes are silent: how a
    point of one path becomes one of the other (below), and the form of the damping (`damped`).

    A point `x = (1 - t) x0 + t noise` divided by `sqrt((1 - t)^2 + t^2)` is exactly a point of a variance preserving
    path, namely where that has the same ratio of signal to noise. There the expert is asked, at its own time.

    Args:
        model: Predicts the noise at its own time.
        objective: An epsilon objective, which says by which schedule.
    """

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    @property
    def config(self) -> Any:
        """The expert's shape."""
        return self.model.config

    def project_text(self, text: Tensor, text_mask: Tensor | None = None) -> TextContext:
        """As the expert's own."""
        return cast(Any, self.model).project_text(text, text_mask)

    def forward(self, x: Tensor, t: Tensor, text: Tensor | TextContext, text_mask: Tensor | None = None) -> Tensor:
        """The velocity expected at `x`.

        Args:
            x: A point of the straight path `[B, C, H, W]`.
            t: Flow time `[B]` in [0, 1]; 1 is noise.
            text: As the expert takes it.
            text_mask: As the expert takes it.

        Returns:
            `[B, C, H, W]` in the dtype of `x`. In between float32: near t = 1 small errors are divided by `alpha`.
        """
        t, point = _fine(t), _fine(x)
        length = torch.hypot(1 - t, t)
        alpha, sigma = (1 - t) / length, t / length
        seen = point / _like(length, point)
        own_time = time_at(self.objective.schedule, alpha, sigma)
        masks = () if text_mask is None else (text_mask,)
        noise = _fine(self.model(seen, own_time, text, *masks))
        x0 = (seen - _like(sigma, point) * noise) / _like(alpha.clamp(min=MIN_SIGNAL), point)
        return (noise - damped(x0.clamp(-MAX_DATA, MAX_DATA), t)).to(x.dtype)


def damped(x0: Tensor, t: Tensor) -> Tensor:
    """Shrink estimates of the data that cannot be right, where noise is nearly all there is.

    Near t = 1 an error of the predicted noise comes back `sigma / alpha` times as large in the data. The mean square
    of an exact estimate is at most that of the data, about one here (latents are scaled to it, pixels lie within
    [-1, 1]); whatever is above is error, and a row whose mean square is `m > 1` is multiplied by `1 / m`, which is
    Wiener's factor for signal one and error `m - 1`. So an exact expert is left alone at every t.

    The paper damps the velocity after t = 0.85 by a factor that its notes do not give: this one is ours.

    Args:
        x0: Estimates of the data `[B, ...]`.
        t: Flow times `[B]`.
    """
    mean_square = x0.square().flatten(1).mean(1)
    factor = torch.where(t > DAMPED_AFTER, 1 / mean_square.clamp(min=1.0), torch.ones_like(mean_square))
    return _like(factor, x0) * x0


def _fine(values: Tensor) -> Tensor:
    """At least float32."""
    return values if values.dtype == torch.float64 else values.float()


def _like(values: Tensor, rows: Tensor) -> Tensor:
    """`[B]` as `[B, 1, ...]` in the dtype of the rows that it is multiplied with."""
    return values.to(rows.dtype).reshape(-1, *[1] * (rows.dim() - 1))
