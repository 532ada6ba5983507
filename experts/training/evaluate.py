"""How good a model is on rows it has not seen, and whether a sample is its prompt's.

Shapes: N rows, D draws of (time, noise) a row, F features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paris.experts.objectives.objectives import FLOW_MATCHING, Objective, as_velocity
from paris.experts.seeding import generator_for


@dataclass(frozen=True)
class NearestIsOwn:
    """How often the training picture nearest to a sample is the one its prompt comes from.

    Args:
        rate: Share of samples whose own picture is the nearest.
        chance: The rate of a guess.
        ranks: How many other pictures are nearer than the own one, a sample `[N]`; 0 is best.
    """

    rate: float
    chance: float
    ranks: Tensor


def stratified_draws(seed: int, row: int, num_draws: int, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Times and noise at which one row is evaluated: the same for every model, however rows are batched.

    Args:
        seed: The evaluation's seed; secret where a submission must not know the draws.
        row: Number of the row.
        num_draws: D; one time falls into each D-th of [0, 1].
        shape: Shape of the row `[C, H, W]`.

    Returns:
        Times `[D]`, ascending, and noise `[D, C, H, W]`.
    """
    generator = generator_for(seed, "evaluate", row)
    times = (torch.arange(num_draws) + torch.rand(num_draws, generator=generator)) / num_draws
    return times, torch.randn(num_draws, *shape, generator=generator)


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
    """Loss of each row in the terms that the expert was trained in, with common random numbers.

    Two models evaluated with one seed see the same times and noise, so that the difference of their losses has far
    less variance than either loss.

    Args:
        model: A `DiTExpert`, on any device.
        rows: What the model sees, without noise `[N, C, H, W]`.
        text: Text states `[N, L, E]` and mask `[N, L]`.
        seed: The evaluation's seed.
        objective: What the expert learned to predict; losses under two objectives cannot be compared.
        num_draws: Times and noises a row.
        batch_size: Rows of (row, draw) that are computed together.

    Returns:
        Mean loss of each row over its draws, float64 `[N]` on the CPU.
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
    """Loss of each row in terms that experts of different objectives share.

    Every expert answers on the straight path, as it does in sampling (`as_velocity`), and the squared error of its
    velocity is multiplied by `(1 - t)^2`, which makes it the squared error of the noise that this velocity implies
    (`noise = x_t + (1 - t) v`). Without that factor what an epsilon expert gets wrong near t = 1 would drown all the
    rest: its velocity is the noise divided by `1 - t`.

    Args:
        model: As `heldout_losses`.
        rows: As `heldout_losses`.
        text: As `heldout_losses`.
        seed: As `heldout_losses`.
        objective: What this expert learned to predict.
        num_draws: As `heldout_losses`.
        batch_size: As `heldout_losses`.

    Returns:
        Mean loss of each row over its draws, float64 `[N]` on the CPU.
    """
    asked = as_velocity(model, objective)

    def score(x0: Tensor, noise: Tensor, t: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        velocity = asked(FLOW_MATCHING.add_noise(x0, noise, t), t, asked.project_text(states, mask))
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
    """Means `[N]` of what `score` makes of rows, noise, times, text states and mask, one draw a row each."""
    means = []
    per_chunk = max(1, batch_size // num_draws)
    for begin in range(0, len(rows), per_chunk):
        index = range(begin, min(begin + per_chunk, len(rows)))
        times, noises = zip(*(stratified_draws(seed, row, num_draws, rows.shape[1:]) for row in index), strict=True)
        x0, states, mask = (part[index.start : index.stop].repeat_interleave(num_draws, 0) for part in (rows, *text))
        drawn = (x0, torch.cat(noises), torch.cat(times), states, mask)
        losses = score(*(part.to(device) for part in drawn))
        means.append(losses.cpu().double().reshape(len(index), num_draws).mean(1))
    return torch.cat(means)


def nearest_is_own(sample_features: Tensor, train_features: Tensor, own: Tensor | None = None) -> NearestIsOwn:
    """Whether samples show what their prompts name: the training picture nearest in features is the prompt's own.

    Args:
        sample_features: Of generated pictures `[N, F]`.
        train_features: Of training pictures `[M, F]`.
        own: Which training picture each sample's prompt comes from `[N]`; None: sample i from picture i.

    Returns:
        Rate, chance and ranks under cosine similarity; a tie counts for the own picture.
    """
    own = torch.arange(len(sample_features)) if own is None else own
    similarity = F.normalize(sample_features.double(), dim=1) @ F.normalize(train_features.double(), dim=1).T
    to_own = similarity.gather(1, own[:, None])
    ranks = (similarity > to_own).sum(1)
    return NearestIsOwn((ranks == 0).double().mean().item(), 1.0 / len(train_features), ranks)
