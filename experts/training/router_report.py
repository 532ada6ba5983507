"""A router's accuracy and calibration on held-out rows.

Shapes: N rows, K clusters, 10 bins of flow time from data to noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from paris.experts.data.cluster import ClusterData
from paris.experts.frozen.codec import Codec
from paris.experts.frozen.text import TextEncoder
from paris.experts.models.router import Router
from paris.experts.objectives.flow import interpolate
from paris.experts.settings import Settings
from paris.experts.training.evaluate import stratified_draws

NOISE_BINS = 10
_CONFIDENCE_BINS = 15

RouterText: TypeAlias = tuple[Tensor, Tensor] | tuple[()]
"""States and mask for a router that sees the prompt; else nothing."""


class RouterReport(Settings):
    """The figures of a router; `by_noise` in ten bins of flow time, from data to noise."""

    steps: int
    num_rows: int
    """Training rows."""
    num_heldout: int
    """Held-out rows; each is noised once in each bin."""
    losses: tuple[tuple[int, float], ...]
    """Step and smoothed cross-entropy, nats."""
    accuracy: float
    accuracy_by_noise: tuple[float, ...]
    calibration_error: float
    """Expected calibration error of the chosen cluster's probability, 15 bins."""
    calibration_by_noise: tuple[float, ...]
    """Too large for few rows."""
    brier: float
    """Mean squared distance of the posterior from the truth, 0 to 2: accuracy and calibration in one."""
    brier_by_noise: tuple[float, ...]
    chance: float
    """Accuracy of always naming the largest cluster."""

    @classmethod
    def of(
        cls, logs: Tensor, labels: Tensor, *, steps: int, num_rows: int, losses: tuple[tuple[int, float], ...]
    ) -> Self:
        """From the result of `heldout_posteriors`, and fields on the training."""
        return cls(
            steps=steps, num_rows=num_rows, num_heldout=len(labels), losses=losses, **_figures(logs.exp(), labels)
        )


@torch.no_grad()
def heldout_posteriors(
    router: Router,
    heldout: Sequence[ClusterData],
    codec: Codec,
    text_encoder: TextEncoder | None = None,
    *,
    seed: int,
    batch_size: int,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """A router's posteriors of each cluster's held-out rows, noised once in each of `NOISE_BINS` bins of flow time.

    Args:
        router: On `device`.
        heldout: One entry a cluster.
        codec: From stored rows to the router's input.
        text_encoder: For a router that sees the prompt.
        seed: Of times and noise.
        batch_size: Noised rows in a batch, about.
        device: The router's.

    Returns:
        Logarithms of the posterior `[N, 10, K]`, float64 on the CPU, and the rows' clusters `[N]`, in shard order.
    """
    logs: list[Tensor] = []
    labels: list[int] = []
    per_chunk = max(1, batch_size // NOISE_BINS)
    for k, data in enumerate(heldout):
        for shard in range(data.num_shards):
            opened = data.opened(shard)
            stored, captions = opened.latents, opened.captions
            for begin in range(0, len(stored), per_chunk):
                x0 = codec.to_model(np.array(stored[begin : begin + per_chunk]))
                draws = [stratified_draws(seed, len(labels) + i, NOISE_BINS, x0.shape[1:]) for i in range(len(x0))]
                t, noise = (torch.cat(tensors) for tensors in zip(*draws, strict=True))
                x_t = interpolate(x0.repeat_interleave(NOISE_BINS, 0), noise, t)
                text: RouterText = ()
                if text_encoder is not None:
                    states, mask = text_encoder.encode(list(captions[begin : begin + per_chunk]))
                    text = (states.repeat_interleave(NOISE_BINS, 0), mask.repeat_interleave(NOISE_BINS, 0))
                logits = router(*(tensor.to(device) for tensor in (x_t, t, *text)))
                logs.append(logits.cpu().double().log_softmax(1).reshape(len(x0), NOISE_BINS, -1))
                labels += [k] * len(x0)
    return torch.cat(logs), torch.tensor(labels)


def _figures(posteriors: Tensor, labels: Tensor) -> dict[str, Any]:
    """From posteriors `[N, 10, K]` and clusters `[N]`.

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
    """Expected calibration error of probabilities `[N]` of a choice, which was right (1) or not (0) `[N]`.

    Source: Guo et al., arXiv 1706.04599, equation 3, with 15 bins of equal width.
    """
    bins = (confidence * _CONFIDENCE_BINS).long().clamp(max=_CONFIDENCE_BINS - 1)
    gaps = torch.zeros(_CONFIDENCE_BINS, dtype=torch.float64).index_add_(0, bins, (right - confidence).double())
    return (gaps.abs().sum() / len(confidence)).item()
