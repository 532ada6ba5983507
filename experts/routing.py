"""From the router's logits to the experts that run, and how much each counts.

Shapes: B rows, K experts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from paris.experts.errors import SamplingError

ROUTINGS: dict[str, int | None] = {"top1": 1, "top2": 2, "full": None}
"""Name to the number of experts a row uses; None: all."""


def num_chosen(routing: str) -> int | None:
    """How many experts a row uses.

    Raises:
        SamplingError: No routing has this name.
    """
    if routing not in ROUTINGS:
        raise SamplingError(f"Unknown routing {routing!r}.", f"Choose one of {', '.join(ROUTINGS)}.")
    return ROUTINGS[routing]


def routing_weights(logits: Tensor, num_best: int | None) -> Tensor:
    """How much each expert counts: the most probable ones, weighed by their probabilities.

    Args:
        logits: The router's `[B, K]`.
        num_best: Experts a row uses; None for all.

    Returns:
        `[B, K]`; rows sum to one, and are zero for experts not chosen.

    Source: arXiv 2510.03434 (top-1, top-2, full); the renormalised posterior of arXiv 2501.05450, equation 7.
    """
    probabilities = logits.float().softmax(dim=1)
    if num_best is None or num_best >= logits.shape[1]:
        return probabilities
    best, index = probabilities.topk(num_best, dim=1)
    return torch.zeros_like(probabilities).scatter_(1, index, best / best.sum(dim=1, keepdim=True))
