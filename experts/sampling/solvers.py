"""Solvers of dx/dt = v(x, t) from t = 1 (noise) to t = 0 (data), and the flow times of their steps.

One evaluation of the velocity is one pass through the experts. The multistep solvers (ab2, ab3, dpmpp-2m) have a
higher order at one evaluation a step, because they remember the last ones.

Shapes: x and velocities are `[B, ...]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from paris.experts.errors import SamplingError

Velocity = Callable[[Tensor, float], Tensor]
"""`(x, t)` to the velocity there."""


class Solver(Protocol):
    """Makes the steps of one sampling run; it may remember the earlier ones."""

    def step(self, x: Tensor, t: float, t_next: float, velocity: Tensor, at: Velocity) -> Tensor:
        """The picture at `t_next`, in [0, t), from `x` at `t`, in (0, 1], and its velocity; `at` gives others."""


class Euler:
    """First order."""

    def step(self, x: Tensor, t: float, t_next: float, velocity: Tensor, at: Velocity) -> Tensor:
        """See `Solver.step`."""
        return x + (t_next - t) * velocity


class Heun:
    """Second order, two evaluations a step: the mean of the velocities at both ends."""

    def step(self, x: Tensor, t: float, t_next: float, velocity: Tensor, at: Velocity) -> Tensor:
        """See `Solver.step`."""
        ahead = at(x + (t_next - t) * velocity, t_next)
        return x + (t_next - t) * (velocity + ahead) / 2


class AdamsBashforth:
    """Order n from the last n velocities: the polynomial through them, integrated over the step.

    Order 2 starts with a step of Euler's, order 3 with one of Heun's and one of order 2.

    Args:
        order: 2 or 3.

    Source: Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, section III.5 (any step length).
    """

    def __init__(self, order: int) -> None:
        self._order = order
        self._past: list[tuple[float, Tensor]] = []

    def step(self, x: Tensor, t: float, t_next: float, velocity: Tensor, at: Velocity) -> Tensor:
        """See `Solver.step`."""
        if not self._past and self._order > 2:
            self._past = [(t, velocity)]
            return Heun().step(x, t, t_next, velocity, at)
        self._past = [(t, velocity), *self._past][: self._order]
        weights = _integrated_lagrange([time for time, _ in self._past], t, t_next)
        for weight, (_, known) in zip(weights, self._past, strict=True):
            x = torch.add(x, known, alpha=weight)
        return x


class DpmSolver2M:
    """DPM-Solver++(2M) on the linear path: extrapolates the predicted picture over the log signal-to-noise ratio.

    With `alpha = 1 - t`, `sigma = t`, `x0 = x - t v` and `lambda = log(alpha / sigma)`. The first step and the last are
    of first order: lambda is infinite at both ends.

    Source: Lu et al., arXiv 2211.01095, algorithm 2.
    """

    def __init__(self) -> None:
        self._before: tuple[float, Tensor] | None = None

    def step(self, x: Tensor, t: float, t_next: float, velocity: Tensor, at: Velocity) -> Tensor:
        """See `Solver.step`."""
        picture = x - t * velocity
        extrapolated = picture
        if self._before is not None and t_next > 0:
            lam_before, before = self._before
            lam, lam_next = _log_snr(t), _log_snr(t_next)
            slope = (lam_next - lam) / (lam - lam_before) / 2
            extrapolated = torch.lerp(before, picture, 1 + slope)
        self._before = (_log_snr(t), picture) if t < 1 else None
        # sigma_next / sigma x - alpha_next (exp(-h) - 1) x0, where exp(-h) = alpha sigma_next / (alpha_next sigma).
        ratio = t_next / t
        return ratio * x + (1 - t_next - (1 - t) * ratio) * extrapolated


_SOLVERS: dict[str, Callable[[], Solver]] = {
    "euler": Euler,
    "heun": Heun,
    "ab2": lambda: AdamsBashforth(2),
    "ab3": lambda: AdamsBashforth(3),
    "dpmpp-2m": DpmSolver2M,
}
SOLVERS = tuple(_SOLVERS)


def new_solver(name: str) -> Solver:
    """A solver for one sampling run.

    Raises:
        SamplingError: No solver has this name.
    """
    if name not in _SOLVERS:
        raise SamplingError(f"Unknown solver {name!r}.", f"Choose one of {', '.join(SOLVERS)}.")
    return _SOLVERS[name]()


def flow_times(num_steps: int, shift: float = 1.0) -> list[float]:
    """`num_steps + 1` flow times from 1 to 0.

    A shift s above 1 makes shorter steps near noise: `t' = s t / (1 + (s - 1) t)`.

    Raises:
        SamplingError: No step, or a shift that is not above zero.

    Source: shift: Esser et al., arXiv 2403.03206, equation 23.
    """
    if num_steps < 1:
        raise SamplingError(f"num_steps is {num_steps}, at least 1 is needed.")
    if not (shift > 0 and math.isfinite(shift)):
        raise SamplingError(f"time_shift is {shift}, it must be above zero.")
    even = [1.0 - number / num_steps for number in range(num_steps)] + [0.0]
    return [shift * t / (1.0 + (shift - 1.0) * t) for t in even]


def _log_snr(t: float) -> float:
    return math.log((1.0 - t) / t)


def _integrated_lagrange(nodes: list[float], start: float, end: float) -> list[float]:
    """Integral from start to end of each Lagrange polynomial of the nodes; exact for at most three."""
    weights = []
    middle, half = (start + end) / 2, (end - start) / 2
    # Gauss-Legendre with two points is exact up to the third degree; the polynomials are of the second at most.
    points = [middle - half / math.sqrt(3.0), middle + half / math.sqrt(3.0)]
    for node in nodes:
        others = [other for other in nodes if other != node]
        values = [math.prod((point - other) / (node - other) for other in others) for point in points]
        weights.append(half * sum(values))
    return weights
