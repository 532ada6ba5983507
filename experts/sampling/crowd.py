"""What all experts together would draw given the negative prompt: what guidance may lead away from.

An expert's cluster is a condition too, often a stronger one than the prompt. Led away from what the same expert draws
without a prompt, a picture is led away from its own cluster, where there may be nothing left to choose: an expert of
one digit draws that digit either way. A model of all the data is led away from all that the picture might have been.
The ensemble can be, too: its unconditional velocity is

    v(x_t) = sum_k p(k | x_t, negative) v_k(x_t, negative)

and one expert drawn from p(k | x_t, negative) says it on average, for the price of one. Each picture draws with one
number all the way, so that its expert changes as the posterior does, and not from step to step.

Shapes: B rows, K experts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from paris.experts.sampling.ancestral import draw_components, one_a_row
from paris.experts.sampling.routing import Chosen, RoutedRun, Routing

_DIGITS = 4096


class CrowdRun:
    """Which expert speaks for all of them, over one sampling run.

    Args:
        numbers: Numbers of the experts at hand, in order.
        router: `(x [B, C, H, W], t [B])` to logits `[B, K]`; it sees the picture alone, or the negative prompt.
            None where there is one expert alone.
        evidence: What the negative prompt says of the experts, `[1, K]` or `[B, K]`; None: nothing that the router
            does not say.
        draws: Uniform in [0, 1), one a row `[B]`, the same that ancestral routing draws with.
        num_rows: B.

    Raises:
        SamplingError: There is not one number a row to draw with, or several experts and no router.

    Source: McAllister et al., arXiv 2501.05450, equations 4 to 7, for the mean; drawing from it is ours.
    """

    def __init__(
        self,
        numbers: Sequence[int],
        router: Callable[[Tensor, Tensor], Tensor] | None,
        evidence: Tensor | None,
        draws: Tensor | None,
        num_rows: int,
    ) -> None:
        draws = one_a_row(draws, num_rows, "Guidance away from the ensemble")
        self._routed = RoutedRun(numbers, router, evidence, Routing())
        # The digits behind those that chose the picture's own expert: as good as another number.
        self._draws = (draws.cpu().double() * _DIGITS).frac()

    def __call__(self, x: Tensor, times: Tensor) -> Chosen:
        """One expert for each row of `x`, of which `times` is one a row.

        Raises:
            SamplingError: As `RoutedRun`.
        """
        logits = self._routed.logits(x, times)
        return Chosen.one_each(self._routed.numbers, draw_components(logits, self._draws), logits.device)
