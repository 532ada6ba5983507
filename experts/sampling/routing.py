"""How much each expert counts for a noisy picture: from the router's logits to weights `[B, K]`.

Ancestral routing draws one expert a picture from p(k | prompt) before the first step, and that expert makes the picture
alone. The data is a mixture, p(x | prompt) = sum_k p(k | prompt) p(x | k, prompt), and a mixture is sampled exactly by
drawing its component first: the clusters' proportions are those of the data, and a picture costs what it costs a model
of one expert. Near noise the router of noisy pictures knows the prior alone: its most probable expert is the largest
cluster for every picture ("top1"), and a mean over experts ("top2", "full") is a mean over different clusters.

Shapes: B rows, K experts, C channels, H and W picture.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, NamedTuple, Self

import torch
from pydantic import Field
from torch import Tensor

from paris.experts.errors import SamplingError, SettingsError
from paris.experts.sampling.experts import RouterModel
from paris.experts.settings import Settings

THRESHOLD = 0.1
"""What "threshold" means where no probability is given: the best of arXiv 2501.05450, table 1."""
_TOP = re.compile(r"top([1-9][0-9]{0,3})")


class Routing(Settings):
    """Which experts a row uses: the most probable one always, the others only where every rule lets them."""

    max_experts: Annotated[int, Field(ge=1)] | None = 2
    """Experts a row uses at most; None: all."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Experts less probable than this are left out."""
    sure_above: Annotated[float, Field(ge=0, le=1)] = 1.0
    """The best expert runs alone where it is more probable than this."""
    router_every: Annotated[int, Field(ge=1, le=1000)] = 1
    """The router runs at every n-th evaluation of the velocity; in between the weights stay. Guidance away from the
    ensemble runs it whenever it needs the negative velocity."""
    temperature: Annotated[float, Field(gt=0, le=100)] = 1.0
    """The posterior is raised to the power of one over this: below 1 it is sharper than the router says."""
    ancestral: bool = False
    """One expert is drawn from p(k | prompt) before the first step, and runs alone."""
    redecide_below: Annotated[float, Field(ge=0, le=1)] = 0.0
    """With `ancestral`: below this flow time the rules above decide, by the picture as it then is; 0: never."""

    @classmethod
    def named(cls, name: str) -> Self:
        """The routing of a name: "top1", "top2" and so on, "full", "threshold", or "ancestral".

        Raises:
            SamplingError: No routing has this name.
        """
        if name == "full":
            return cls(max_experts=None)
        if name == "threshold":
            return cls(max_experts=None, threshold=THRESHOLD)
        if name == "ancestral":
            return cls(max_experts=1, ancestral=True)
        top = _TOP.fullmatch(name)
        if top is None:
            raise SamplingError(
                f"Unknown routing {name!r}.", "Choose one of top1, top2, top3 ..., full, threshold, ancestral."
            )
        return cls(max_experts=int(top[1]))

    @property
    def name(self) -> str:
        """The name from which `named` makes this rule, but for its numbers.

        Raises:
            SettingsError: There is none: ancestral, with more than one expert.
        """
        if self.ancestral and self.max_experts != 1:
            raise SettingsError(f"Ancestral routing with max_experts = {self.max_experts} has no name.")
        if self.ancestral:
            return "ancestral"
        if self.max_experts is not None:
            return f"top{self.max_experts}"
        return "threshold" if self.threshold else "full"

    def weights(self, logits: Tensor) -> Tensor:
        """How much each expert counts: the chosen ones, weighed by their probabilities.

        Args:
            logits: `log p(k | x_t, prompt)` up to a constant a row, `[B, K]`.

        Returns:
            float32 `[B, K]`; rows sum to one, and are zero for experts not chosen.

        Source: arXiv 2510.03434 (top-1, top-2, full); arXiv 2501.05450, equation 7 and table 1 (threshold). Ours:
        `sure_above`.
        """
        probabilities = (logits.float() / self.temperature).softmax(dim=1)
        at_most = min(self.max_experts or logits.shape[1], logits.shape[1])
        best, index = probabilities.topk(at_most, dim=1)
        others = best[:, 1:]
        others.mul_((others >= self.threshold) & (best[:, :1] <= self.sure_above))
        return probabilities.zero_().scatter_(1, index, best / best.sum(dim=1, keepdim=True))


def drawn_weights(log_probabilities: Tensor, uniforms: Tensor) -> Tensor:
    """One expert a row, drawn by the inverse of the cumulative distribution; it has weight 1.

    Args:
        log_probabilities: `[B, K]`, up to a constant a row.
        uniforms: In [0, 1) `[B]`.

    Returns:
        float32 `[B, K]` on the CPU.

    Raises:
        SamplingError: A row's probabilities are not finite.
    """
    # On the CPU: not every device has doubles, and a draw must fall the same way on all of them.
    cumulative = log_probabilities.cpu().double().softmax(1).cumsum(1)
    _check_finite(cumulative[:, -1].isfinite())
    # Scaled by the last, which rounding may have left below 1: no draw falls behind it.
    index = torch.searchsorted(cumulative / cumulative[:, -1:], uniforms.cpu().double()[:, None], right=True)[:, 0]
    index = index.clamp(max=log_probabilities.shape[1] - 1)
    return torch.nn.functional.one_hot(index, log_probabilities.shape[1]).float()


class Assignment(NamedTuple):
    """Which experts run on which rows."""

    weights: Tensor
    """How much each expert at hand counts, float32 `[B, K]`; rows sum to one."""
    rows: dict[int, Tensor | None]
    """Number of each expert that runs, in order, to its rows `[R]`; None: all rows."""

    @classmethod
    def of(cls, numbers: Sequence[int], weights: Tensor, device: torch.device) -> Self:
        """The experts that have a weight, of those with these numbers; weights are `[B, K]` on any device.

        Raises:
            SamplingError: A row has no expert: the weights are not finite.
        """
        # One copy to the host for all experts: on a GPU each would wait for the device.
        runs = (weights > 0).cpu()
        _check_finite(runs.any(dim=1))
        rows: dict[int, Tensor | None] = {}
        for number, column in zip(numbers, runs.unbind(1), strict=True):
            index = column.nonzero()[:, 0]
            if len(index):
                rows[number] = None if len(index) == len(column) else index.to(device)
        return cls(weights.to(device), rows)


class CachedRouter:
    """A router within one sampling run: counts its calls, and answers the point that it saw last from memory."""

    def __init__(self, router: RouterModel) -> None:
        self._router = router
        self._last: tuple[Tensor, Tensor, Tensor] | None = None
        self.num_calls = 0
        """Evaluations, each of all rows."""

    def __call__(self, x: Tensor, times: Tensor) -> Tensor:
        """Logits `[B, K]`; the same two tensors are the same point."""
        if self._last is None or self._last[0] is not x or self._last[1] is not times:
            self._last = x, times, self._router(x, times)
            self.num_calls += 1
        return self._last[2]


class Posterior:
    """log p(k | x_t, prompt) of the experts at hand, up to a constant a row.

    Args:
        numbers: Numbers of the experts at hand, in order; probabilities are shared among these.
        router: None where there is one expert alone.
        evidence: `log p(k | prompt) - log p(k)` up to a constant, `[1, K]` or `[B, K]`; None: the router alone decides.

    Raises:
        SamplingError: There are several experts and no router.
    """

    def __init__(self, numbers: Sequence[int], router: RouterModel | None, evidence: Tensor | None = None) -> None:
        if router is None and len(numbers) > 1:
            raise SamplingError(f"{len(numbers)} experts need a router.")
        self.numbers = list(numbers)
        self._router, self._evidence = router, evidence

    def __call__(self, x: Tensor, times: Tensor) -> Tensor:
        """`[B, K]` for pictures `[B, C, H, W]` at flow times `[B]`.

        Raises:
            SamplingError: The router knows fewer experts than there are.
        """
        if self._router is None:
            return torch.zeros(len(x), 1, dtype=torch.float32, device=x.device)
        logits = self._router(x, times)
        if self.numbers[-1] >= logits.shape[1]:
            raise SamplingError(f"The router knows {logits.shape[1]} experts, there is no expert {self.numbers[-1]}.")
        if self._evidence is not None:
            # Bayes: p(k | x, prompt) is proportional to p(k | x) p(k | prompt) / p(k), given k each alone.
            logits = logits + self._evidence
        return logits[:, self.numbers]


class RoutingRun:
    """Routing over one sampling run: runs the router when it is due, and remembers the weights.

    Args:
        routing: The rule.
        posterior: Of the experts at hand.
        prompt_logits: `log p(k | prompt)` `[B, K]`, for ancestral routing; None: the router's answer to pure noise.
        uniforms: In [0, 1), one a row `[B]`, for ancestral routing.
    """

    def __init__(
        self,
        routing: Routing,
        posterior: Posterior,
        prompt_logits: Tensor | None = None,
        uniforms: Tensor | None = None,
    ) -> None:
        self._routing, self._posterior = routing, posterior
        self._prompt_logits, self._uniforms = prompt_logits, uniforms
        self._drawn: Assignment | None = None
        self._last: Assignment | None = None
        self._age = 0

    def __call__(self, x: Tensor, times: Tensor, t: float) -> Assignment:
        """Which experts run on `x` at flow time `t`, of which `times` is one a row. Ask once an evaluation.

        Raises:
            SamplingError: The router knows fewer experts than there are, or its answer is not finite.
        """
        if self._uniforms is not None and self._routing.ancestral and t >= self._routing.redecide_below:
            if self._drawn is None:
                self._drawn = self._assigned(drawn_weights(self._logits_to_draw_from(x, times), self._uniforms), x)
            return self._drawn
        if self._last is None or self._age == self._routing.router_every:
            self._last, self._age = self._assigned(self._routing.weights(self._posterior(x, times)), x), 0
        self._age += 1
        return self._last

    def _logits_to_draw_from(self, x: Tensor, times: Tensor) -> Tensor:
        if self._prompt_logits is None:
            return self._posterior(x, times)
        return self._prompt_logits[:, self._posterior.numbers]

    def _assigned(self, weights: Tensor, x: Tensor) -> Assignment:
        return Assignment.of(self._posterior.numbers, weights, x.device)


def _check_finite(is_finite: Tensor) -> None:
    if not is_finite.all():
        raise SamplingError("The router's answer is not finite.", "Check its weights and the latents.")
