"""Losses on held-out rows.

Shapes: N rows, D draws of (time, noise) a row.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from paris.experts.objectives.objectives import FLOW_MATCHING, Objective, as_velocity
from paris.experts.seeding import generator_for


def stratified_draws(seed: int, row: int, num_draws: int, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Times `[D]` and noise `[D, C, H, W]` at which one row is evaluated, the same for every model and batch size.

    One time falls into each D-th of [0, 1]. The seed is secret where a submission must not know the draws.
    """
    generator = generator_for(seed, "evaluate", row)
    times = (torch.arange(num_draws) + torch.rand(num_draws, generator=generator, dtype=torch.float32)) / num_draws
    return times, torch.randn(num_draws, *shape, generator=generator, dtype=torch.float32)


@torch.no_grad()
def heldout_losses(
    model: nn.Module,
    rows: Tensor,
    text: tuple[Tensor, Tensor],
    *,
    seed: int,
    objective: Objective = FLOW_MATCHING,
    num_draws: int = 8,
    batch_size: int = 64,
) -> Tensor:
    """Training loss of each row.

    Models evaluated with one seed see the same times and noise, so that the difference of their losses has far less
    variance than either loss. Losses under two objectives cannot be compared.

    Args:
        model: A `DiTExpert`, on any device.
        rows: Data `[N, C, H, W]`.
        text: Text states `[N, L, E]` and mask `[N, L]`.
        seed: Of the draws.
        objective: The model's.
        num_draws: D.
        batch_size: Draws that are computed together.

    Returns:
        Mean over the draws of each row, float64 `[N]` on the CPU.
    """

    def score(x0: Tensor, noise: Tensor, t: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        return objective.loss(model(objective.add_noise(x0, noise, t), t, states, mask), x0, noise, per_row=True)

    return _mean_over_draws(score, next(model.parameters()).device, rows, text, seed, num_draws, batch_size)


@torch.no_grad()
def comparable_losses(
    model: nn.Module,
    rows: Tensor,
    text: tuple[Tensor, Tensor],
    *,
    seed: int,
    objective: Objective = FLOW_MATCHING,
    num_draws: int = 8,
    batch_size: int = 64,
) -> Tensor:
    """`heldout_losses` in terms that experts of different objectives share.

    It is the squared error of the velocity on the straight path (`as_velocity`) times `(1 - t)^2`, and so that of the
    noise which the velocity implies (`noise = x_t + (1 - t) v`). Without the factor, the errors of an epsilon expert
    near t = 1 would dominate: its velocity is the noise divided by `1 - t`.
    """
    expert = as_velocity(model, objective)

    def score(x0: Tensor, noise: Tensor, t: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        velocity = expert(FLOW_MATCHING.add_noise(x0, noise, t), t, expert.project_text(states, mask))
        return (1 - t).square() * FLOW_MATCHING.loss(velocity, x0, noise, per_row=True)

    return _mean_over_draws(score, next(model.parameters()).device, rows, text, seed, num_draws, batch_size)


def _mean_over_draws(
    score: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor],
    device: torch.device,
    rows: Tensor,
    text: tuple[Tensor, Tensor],
    seed: int,
    num_draws: int,
    batch_size: int,
) -> Tensor:
    """Mean score of each row `[N]`; `score` takes rows, noise, times, text states and mask of some draws."""
    means = []
    per_chunk = max(1, batch_size // num_draws)
    for begin in range(0, len(rows), per_chunk):
        index = range(begin, min(begin + per_chunk, len(rows)))
        times, noises = zip(*(stratified_draws(seed, row, num_draws, rows.shape[1:]) for row in index), strict=True)
        chunk = slice(index.start, index.stop)
        x0, states, mask = (tensor[chunk].repeat_interleave(num_draws, 0) for tensor in (rows, *text))
        drawn = (x0, torch.cat(noises), torch.cat(times), states, mask)
        losses = score(*(tensor.to(device) for tensor in drawn))
        means.append(losses.cpu().double().reshape(len(index), num_draws).mean(1))
    return torch.cat(means)
