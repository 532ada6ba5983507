"""Training the router: which cluster does a noisy row come from? Done last, by the organiser, on all clusters.

Clusters come in their natural proportions: the router's posterior is then the weight of each expert in the
mixture, as the theory of decentralised flow matching asks (McAllister et al., arXiv 2501.05450, equation 7).

Shapes: B rows, K clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from paris.experts.data.cluster import ClusterData
from paris.experts.data.order import RowOrder
from paris.experts.errors import TrainingError
from paris.experts.frozen.codec import Codec
from paris.experts.frozen.text import TextEncoder
from paris.experts.models.presets import RouterConfig
from paris.experts.models.prompt_router import CAPTION_DROPOUT
from paris.experts.models.router import Router, initial_router
from paris.experts.objectives.flow import interpolate
from paris.experts.seeding import generator_for
from paris.experts.training.config import OptimizerConfig
from paris.experts.training.learner import Learner, make_deterministic, smoothed_loss
from paris.experts.training.router_report import RouterReport, RouterText, heldout_posteriors

_REPORT_EVERY = 10


class RouterTrainingConfig(OptimizerConfig):
    """How the router is trained."""

    window_shards: Annotated[int, Field(ge=1)] = 64
    """Over how many shards, of all clusters together, rows are mixed."""


def train_router(
    config: RouterConfig,
    clusters: Sequence[ClusterData],
    heldout: Sequence[ClusterData],
    codec: Codec,
    training: RouterTrainingConfig,
    *,
    seed: int,
    text_encoder: TextEncoder | None = None,
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
        text_encoder: Of the rows' captions, for a router that sees the prompt; it learns the null prompt too.
        device: Where the router computes.
        num_threads: CPU threads of torch, for the whole process.
        on_progress: Called every few steps with steps done and the smoothed loss.

    Returns:
        The router with its EMA weights, on the CPU, and what it learned.

    Raises:
        TrainingError: Another number of clusters than the router has, no text encoder for a router that sees the
            prompt, or the loss is not finite.
    """
    if not len(clusters) == len(heldout) == config.num_clusters:
        found = f"{len(clusters)} training and {len(heldout)} held-out clusters were given"
        raise TrainingError(f"The router has {config.num_clusters} clusters, {found}.")
    if config.text_embed_dim is not None and text_encoder is None:
        raise TrainingError("This router sees the prompt, and there is nothing to encode it.", "Pass a text encoder.")
    if config.text_embed_dim is None:
        text_encoder = None
    make_deterministic(torch.device(device), num_threads)
    rows = _AllRows(clusters, codec, text_encoder, training.window_shards, seed)
    learner = Learner(initial_router(config, seed).to(device), training)
    losses = _train(learner, rows, training, seed, torch.device(device), on_progress)
    learner.model.load_state_dict(learner.average)
    router = learner.model
    logs, labels = heldout_posteriors(
        router, heldout, codec, text_encoder, seed=seed, batch_size=training.batch_size, device=torch.device(device)
    )
    report = RouterReport.of(logs, labels, steps=training.steps, num_rows=rows.num_rows, losses=losses)
    return router.cpu(), report


class _AllRows:
    """All clusters as one set of rows with labels, in a deterministic order."""

    def __init__(
        self,
        clusters: Sequence[ClusterData],
        codec: Codec,
        encoder: TextEncoder | None,
        window_shards: int,
        seed: int,
    ) -> None:
        self._clusters, self._codec, self._encoder, self._seed = clusters, codec, encoder, seed
        self._homes = [(k, shard) for k, data in enumerate(clusters) for shard in range(data.num_shards)]
        shard_rows = [count for data in clusters for count in data.shard_rows]
        self._order = RowOrder(seed, "router", shard_rows, window_shards)
        self.num_rows = sum(shard_rows)

    def batch(self, step: int, batch_size: int) -> tuple[Tensor, RouterText, Tensor]:
        """Rows `[B, C, H, W]`, their text where the router sees it, and clusters `[B]` of one step."""
        picks = [(*self._homes[shard], row) for shard, row in self._order.batch(step, batch_size)]
        stored = np.stack([self._clusters[k].shard(shard).latents[row] for k, shard, row in picks])
        text: RouterText = ()
        if self._encoder is not None:
            captions = [self._clusters[k].shard(shard).captions[row] for k, shard, row in picks]
            generator = generator_for(self._seed, "caption-dropout", "router", step)
            dropped = (torch.rand(len(captions), generator=generator) < CAPTION_DROPOUT).tolist()
            text = self._encoder.encode(["" if drop else one for one, drop in zip(captions, dropped, strict=True)])
        return self._codec.to_model(stored), text, torch.tensor([k for k, _, _ in picks])


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
        x0, text, labels = rows.batch(step, training.batch_size)
        generator = generator_for(seed, "step", "router", step)
        t = torch.rand(len(x0), generator=generator)
        x_t = interpolate(x0, torch.randn(x0.shape, generator=generator), t)
        seen = [part.to(device) for part in (x_t, t, *text)]
        loss = F.cross_entropy(learner.model(*seen), labels.to(device))
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
