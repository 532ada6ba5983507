"""Ancestral routing: draw one expert a picture from p(k | prompt), and let it draw the picture alone.

The data is a mixture: p(x | prompt) = sum_k p(k | prompt) p(x | k, prompt). A mixture is sampled exactly by drawing its
component first. So no router has to weigh experts whose common velocity none of them has learned, the clusters'
proportions are those of the data, and a picture costs what it costs a model of one expert.

Near noise the router of noisy pictures knows the prior alone: its most probable expert is the largest cluster for every
picture ("top1"), and a mean over experts ("top2", "full") is a mean over pictures of different clusters.

Shapes: B rows, K experts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from paris.experts.errors import SamplingError
from paris.experts.models.prompt_router import PromptSays
from paris.experts.sampling.routing import NOT_FINITE, Chosen, RoutedRun, Routing


def draw_components(log_probabilities: Tensor, draws: Tensor) -> Tensor:
    """One component a row, by the inverse of the cumulative distribution.

    Args:
        log_probabilities: `[B, K]`, up to a constant a row.
        draws: Uniform in [0, 1) `[B]`.

    Returns:
        int64 `[B]`, in [0, K), on the CPU.

    Raises:
        SamplingError: A row's probabilities are not finite.
    """
    # On the CPU: not every device has doubles, and a draw must fall the same way on all of them.
    cumulative = log_probabilities.cpu().double().softmax(1).cumsum(1)
    # Scaled by the last, which rounding may have left below 1: no draw falls behind it.
    if not cumulative[:, -1].isfinite().all():
        raise SamplingError(NOT_FINITE, "Check its weights and the latents.")
    index = torch.searchsorted(cumulative / cumulative[:, -1:], draws.cpu().double()[:, None], right=True)[:, 0]
    return index.clamp(max=log_probabilities.shape[1] - 1)


def one_a_row(draws: Tensor | None, num_rows: int, what: str) -> Tensor:
    """The numbers to draw with.

    Args:
        draws: Uniform in [0, 1) `[B]`.
        num_rows: B.
        what: Needs them, for the message.

    Raises:
        SamplingError: There is not one number a row.
    """
    if draws is None or len(draws) != num_rows:
        given = 0 if draws is None else len(draws)
        raise SamplingError(
            f"{what} draws an expert for each of {num_rows} pictures, and was given {given} seeds.",
            "Give one seed a picture.",
        )
    return draws


class AncestralRun:
    """Ancestral routing over one sampling run.

    Args:
        routed: What decides below `routing.redecide_below`, and without a prompt router says the prior.
        prompt: What the prompts say of all experts; None: the router's answer at the first step, which sees noise.
        draws: Uniform in [0, 1), one a row `[B]`: what is drawn follows from these alone.
        num_rows: B.
        routing: The rule.

    Raises:
        SamplingError: There is not one number a row to draw with.
    """

    def __init__(
        self, routed: RoutedRun, prompt: PromptSays | None, draws: Tensor | None, num_rows: int, routing: Routing
    ) -> None:
        self._draws = one_a_row(draws, num_rows, "Ancestral routing")
        self._routed, self._prompt, self._routing = routed, prompt, routing
        self._drawn: Chosen | None = None

    def __call__(self, x: Tensor, times: Tensor, t: float) -> Chosen:
        """Which expert runs on each row of `x` at flow time `t`, of which `times` is one a row.

        Raises:
            SamplingError: As `RoutedRun`.
        """
        if t < self._routing.redecide_below:
            return self._routed(x, times)
        if self._drawn is None:
            says = self._says(x, times)
            self._drawn = Chosen.one_each(self._routed.numbers, draw_components(says, self._draws), says.device)
        return self._drawn

    def _says(self, x: Tensor, times: Tensor) -> Tensor:
        if self._prompt is None:
            return self._routed.logits(x, times)
        return self._prompt.posterior[:, self._routed.numbers]
