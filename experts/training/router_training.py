"""Training the router: which cluster does a noisy row come from? Done last, by the organiser, on all clusters.

Clusters come in their natural proportions: the router's posterior is then the weight of each expert in the
mixture, as the theory of decentralised flow matching asks (McAllister et al., arXiv 2501.05450, equation 7).

Shapes: B rows, K clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from paris.experts.data.order import RowOrder
from paris.experts.data.shards import ClusterData
from paris.experts.errors import TrainingError
from paris.experts.frozen.codec import Codec
from paris.experts.models.presets import RouterConfig
from paris.experts.models.router import Router, initial_router
from paris.experts.objectives.flow import interpolate
from paris.experts.seeding import generator_for
from paris.experts.settings import Settings
from paris.experts.training.config import OptimizerConfig
from paris.experts.training.evaluate import stratified_draws
from paris.experts.training.learner import Learner, make_deterministic, smoothed_loss

NOISE_BINS = 10
_CONFIDENCE_BINS = 15
_REPORT_EVERY = 10


class RouterTrainingConfig(OptimizerConfig):
    """How the router is trained."""

    window_shards: Annotated[int, Field(ge=1)] = 64
    """Over how many shards, of all clusters together, rows are mixed."""


class RouterReport(Settings):
    """What the router learned, on held-out rows."""

    steps: int
    num_rows: int
    """Training rows."""
    num_heldout: int
    """Held-out rows; each is judged once in each noise bin."""
    losses: tuple[tuple[int, float], ...]
    """Step and smoothed cross-entropy, nats."""
    accuracy: float
    accuracy_by_noise: tuple[float, ...]
    """Ten bins of flow time, from data to noise."""
    calibration_error: float
    """Expected calibration error of the chosen cluster's probability, 15 bins."""
    calibration_by_noise: tuple[float, ...]
    """The same in each bin of flow time; of few rows it comes out too large, as each bin's own chance adds up."""
    brier: float
    """Mean squared distance of the posterior from the truth, 0 to 2: accuracy and calibration in one."""
    brier_by_noise: tuple[float, ...]
    chance: float
    """Accuracy of always naming the largest cluster."""


def train_router(
    config: RouterConfig,
    clusters: Sequence[ClusterData],
    heldout: Sequence[ClusterData],
    codec: Codec,
    training: RouterTrainingConfig,
    *,
    seed: int,
    device: str = "cpu",
    num_threads: int = 1,
    on_progress: Callable[[int, float], None] | None = None,
) -> tuple[Router, RouterReport]:
    """Train a router from its initial weights, and judge it on held-out rows.

    The result is a function of the arguments, on the same hardware and number of threads.

    Args:
        config: Shape of the router; `num_clusters` is the number of clusters given.
        clusters: Training rows of each cluster.
        heldout: Held-out rows of each cluster.
        codec: From stored rows to what the router sees.
        training: How.
        seed: The run's seed.
        device: Where the router computes.
        num_threads: CPU threads of torch, for the whole process.
        on_progress: Called every few steps with steps done and the smoothed loss.

    Returns:
        The router with its EMA weights, on the CPU, and what it learned.

    Raises:
        TrainingError: Another number of clusters than the router has, or the loss is not finite.
    """
    if not len(clusters) == len(heldout) == config.num_clusters:
        found = f"{len(clusters)} training and {len(heldout)} held-out clusters were given"
        raise TrainingError(f"The router has {config.num_clusters} clusters, {found}.")
    make_deterministic(torch.device(device), num_threads)
    rows = _AllRows(clusters, codec, training.window_shards, seed)
    learner = Learner(initial_router(config, seed).to(device), training)
    losses = _train(learner, rows, training, seed, torch.device(device), on_progress)
    learner.model.load_state_dict(learner.average)
    router = learner.model
    posteriors, labels = _judge(router, heldout, codec, seed, training.batch_size, torch.device(device))
    report = RouterReport(
        steps=training.steps,
        num_rows=rows.num_rows,
        num_heldout=len(labels),
        losses=losses,
        **_figures(posteriors, labels),
    )
    return router.cpu(), report


class _AllRows:
    """All clusters as one set of rows with labels, in a deterministic order."""

    def __init__(self, clusters: Sequence[ClusterData], codec: Codec, window_shards: int, seed: int) -> None:
        self._clusters, self._codec = clusters, codec
        self._homes = [(k, shard) for k, data in enumerate(clusters) for shard in range(data.num_shards)]
        shard_rows = [count for data in clusters for count in data.shard_rows]
        self._order = RowOrder(seed, "router", shard_rows, window_shards)
        self.num_rows = sum(shard_rows)

    def batch(self, step: int, batch_size: int) -> tuple[Tensor, Tensor]:
        """Rows `[B, C, H, W]` and clusters `[B]` of one step."""
        picks = [(*self._homes[shard], row) for shard, row in self._order.batch(step, batch_size)]
        stored = np.stack([self._clusters[k].shard(shard).latents[row] for k, shard, row in picks])
        return self._codec.to_model(stored), torch.tensor([k for k, _, _ in picks])


def _train(
    learner: Learner,
    rows: _AllRows,
    training: RouterTrainingConfig,
    seed: int,
    device: torch.device,
    on_progress: Callable[[int, float], None] | None,
) -> tuple[tuple[int, float], ...]:
    """All steps; the smoothed loss at every report."""
    curve: list[tuple[int, float]] = []
    fresh: list[Tensor] = []
    for step in range(training.steps):
        x0, labels = rows.batch(step, training.batch_size)
        generator = generator_for(seed, "step", "router", step)
        t = torch.rand(len(x0), generator=generator)
        x_t = interpolate(x0, torch.randn(x0.shape, generator=generator), t)
        loss = F.cross_entropy(learner.model(x_t.to(device), t.to(device)), labels.to(device))
        loss.backward()
        learner.apply_gradients()
        fresh.append(loss.detach())
        if learner.step % _REPORT_EVERY == 0 or learner.step == training.steps:
            mean = smoothed_loss(curve[-1][1] if curve else None, fresh, learner.step - len(fresh))
            curve.append((learner.step, mean))
            fresh = []
            if on_progress:
                on_progress(learner.step, mean)
    return tuple(curve)


@torch.no_grad()
def _judge(
    router: Router, heldout: Sequence[ClusterData], codec: Codec, seed: int, batch_size: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Posteriors `[N, 10, K]` of held-out rows, one in each noise bin, and their clusters `[N]`."""
    posteriors: list[Tensor] = []
    labels: list[int] = []
    per_chunk = max(1, batch_size // NOISE_BINS)
    for k, data in enumerate(heldout):
        for shard in range(data.num_shards):
            stored = data.shard(shard).latents
            for begin in range(0, len(stored), per_chunk):
                x0 = codec.to_model(np.array(stored[begin : begin + per_chunk]))
                draws = [stratified_draws(seed, len(labels) + i, NOISE_BINS, x0.shape[1:]) for i in range(len(x0))]
                t, noise = (torch.cat(parts) for parts in zip(*draws, strict=True))
                x_t = interpolate(x0.repeat_interleave(NOISE_BINS, 0), noise, t)
                logits = router(x_t.to(device), t.to(device))
                posteriors.append(logits.double().softmax(1).cpu().reshape(len(x0), NOISE_BINS, -1))
                labels += [k] * len(x0)
    return torch.cat(posteriors), torch.tensor(labels)


def _figures(posteriors: Tensor, labels: Tensor) -> dict[str, Any]:
    """The report's figures from posteriors `[N, 10, K]` and clusters `[N]`.

    Source: Brier score, Brier, Monthly Weather Review 78 (1950), equation 2.
    """
    confidence, choice = posteriors.max(2)
    right = (choice == labels[:, None]).double()
    truth = F.one_hot(labels, posteriors.shape[2])[:, None]
    brier = (posteriors - truth).square().sum(2)
    by_noise = zip(confidence.unbind(1), right.unbind(1), strict=True)
    return {
        "accuracy": right.mean().item(),
        "accuracy_by_noise": tuple(right.mean(0).tolist()),
        "calibration_error": calibration_error(confidence.flatten(), right.flatten()),
        "calibration_by_noise": tuple(calibration_error(*one) for one in by_noise),
        "brier": brier.mean().item(),
        "brier_by_noise": tuple(brier.mean(0).tolist()),
        "chance": labels.bincount().max().item() / len(labels),
    }


def calibration_error(confidence: Tensor, right: Tensor) -> float:
    """Expected calibration error: how far stated probabilities are from how often they hold.

    Args:
        confidence: Probability of the choice `[N]`, in [0, 1].
        right: 1 where the choice was right, else 0 `[N]`.

    Source: Guo et al., arXiv 1706.04599, equation 3, with 15 bins of equal width.
    """
    bins = (confidence * _CONFIDENCE_BINS).long().clamp(max=_CONFIDENCE_BINS - 1)
    gaps = torch.zeros(_CONFIDENCE_BINS, dtype=torch.float64).index_add_(0, bins, (right - confidence).double())
    return (gaps.abs().sum() / len(confidence)).item()
