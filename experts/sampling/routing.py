"""From the router's logits to the experts that run, and how much each counts.

Shapes: B rows, K experts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, NamedTuple, Self

import torch
from pydantic import Field
from torch import Tensor

from paris.experts.errors import SamplingError
from paris.experts.settings import Settings

THRESHOLD = 0.1
"""What "threshold" means where no probability is given: the best of arXiv 2501.05450, table 1."""
NOT_FINITE = "The router's answer is not finite."
_TOP = re.compile(r"top([1-9][0-9]{0,3})")


class Routing(Settings):
    """Which experts a row uses; the most probable one always, and the others only where every rule lets them."""

    max_experts: Annotated[int, Field(ge=1)] | None = 2
    """Experts a row uses at most; None: all."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Experts less probable than this are left out."""
    sure_above: Annotated[float, Field(ge=0, le=1)] = 1.0
    """The best expert runs alone where it is more probable than this."""
    router_every: Annotated[int, Field(ge=1, le=1000)] = 1
    """The router is asked at every n-th evaluation of the velocity; in between the weights stay. Guidance away from
    the ensemble asks it when it asks for the negative prompt."""
    temperature: Annotated[float, Field(gt=0, le=100)] = 1.0
    """The posterior is raised to the power of one over this: below 1 it is sharper than the router says."""
    ancestral: bool = False
    """One expert is drawn from p(k | prompt) before the first step, and runs alone: see `ancestral.py`."""
    redecide_below: Annotated[float, Field(ge=0, le=1)] = 0.0
    """With `ancestral`: below this flow time the rules above hold, for what has become of the picture; 0: never."""

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

    def weights(self, logits: Tensor) -> Tensor:
        """How much each expert counts: the chosen ones, weighed by their probabilities.

        Args:
            logits: The router's `[B, K]`.

        Returns:
            float32 `[B, K]`; rows sum to one, and are zero for experts not chosen.

        Source: arXiv 2510.03434 (top-1, top-2, full); arXiv 2501.05450, equation 7 (the posterior, renormalised over
        the chosen) and table 1 (threshold). `sure_above` is ours.
        """
        probabilities = (logits.float() / self.temperature).softmax(dim=1)
        at_most = min(self.max_experts or logits.shape[1], logits.shape[1])
        best, index = probabilities.topk(at_most, dim=1)
        others = best[:, 1:]
        others.mul_((others >= self.threshold) & (best[:, :1] <= self.sure_above))
        return probabilities.zero_().scatter_(1, index, best / best.sum(dim=1, keepdim=True))


def as_routing(routing: Routing | str) -> Routing:
    """A routing, or the one of this name.

    Raises:
        SamplingError: No routing has this name.
    """
    return Routing.named(routing) if isinstance(routing, str) else routing


class Chosen(NamedTuple):
    """Which experts run on which rows."""

    weights: Tensor
    """Weight of each expert at hand, float32 `[B, K]`; rows sum to one."""
    rows: dict[int, Tensor | None]
    """Number of each expert that runs, in order, to its rows `[R]`; None: all rows."""

    @classmethod
    def of(cls, numbers: Sequence[int], weights: Tensor) -> Self:
        """From the weights `[B, K]` of the experts of these numbers.

        Raises:
            SamplingError: A row has no expert: the weights are not finite.
        """
        return cls(weights, _rows_of(numbers, weights, weights.device))

    @classmethod
    def one_each(cls, numbers: Sequence[int], index: Tensor, device: torch.device) -> Self:
        """One expert a row, that of `numbers[index]`; `index` is int64 `[B]` on the CPU, the result on the device."""
        weights = torch.nn.functional.one_hot(index, len(numbers)).float()
        return cls(weights.to(device), _rows_of(numbers, weights, device))


class AskedRouter:
    """A router within one sampling run: counts how often it is asked, and answers a point that it just saw at once.

    Args:
        router: `(x [B, C, H, W], t [B])` to logits `[B, K]`.
    """

    def __init__(self, router: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._router = router
        self._last: tuple[Tensor, Tensor, Tensor] | None = None
        self.num_asked = 0
        """Evaluations, each of all rows."""

    def __call__(self, x: Tensor, times: Tensor) -> Tensor:
        """Logits at a point; the same two tensors are the same point."""
        if self._last is None or self._last[0] is not x or self._last[1] is not times:
            self._last = x, times, self._router(x, times)
            self.num_asked += 1
        return self._last[2]


class RoutedRun:
    """Routing over one sampling run: asks the router when it is due, and remembers what it said.

    Args:
        numbers: Numbers of the experts at hand, in order; the others are left out, and the weights shared among these.
        router: `(x [B, C, H, W], t [B])` to logits `[B, K]`; None where there is one expert alone.
        evidence: `log p(k | prompt) - log p(k)` up to a constant, `[B, K]`: added to the router's logits.
        routing: The rule.

    Raises:
        SamplingError: There are several experts and no router.
    """

    def __init__(
        self,
        numbers: Sequence[int],
        router: Callable[[Tensor, Tensor], Tensor] | None,
        evidence: Tensor | None,
        routing: Routing,
    ) -> None:
        if router is None and len(numbers) > 1:
            raise SamplingError(f"{len(numbers)} experts need a router.")
        self._numbers, self._router, self._evidence, self._routing = list(numbers), router, evidence, routing
        self._last: Chosen | None = None
        self._age = 0

    @property
    def numbers(self) -> list[int]:
        """Numbers of the experts at hand."""
        return self._numbers

    def __call__(self, x: Tensor, times: Tensor) -> Chosen:
        """Which experts run on `x` at flow time `times`. Ask once an evaluation.

        Raises:
            SamplingError: The router knows fewer experts than there are, or says something that is not finite.
        """
        if self._last is None or self._age == self._routing.router_every:
            weights = self._weights(x, times)
            self._last, self._age = Chosen.of(self._numbers, weights), 0
        self._age += 1
        return self._last

    def logits(self, x: Tensor, times: Tensor) -> Tensor:
        """What router and prompts say of the experts at hand, `[B, K]`.

        Raises:
            SamplingError: The router knows fewer experts than there are.
        """
        if self._router is None:
            return torch.zeros(len(x), 1, device=x.device)
        logits = self._router(x, times)
        if self._numbers[-1] >= logits.shape[1]:
            raise SamplingError(f"The router knows {logits.shape[1]} experts, there is no expert {self._numbers[-1]}.")
        if self._evidence is not None:
            # Bayes: p(k | x, prompt) is proportional to p(k | x) p(k | prompt) / p(k), given k each alone.
            logits = logits + self._evidence
        return logits[:, self._numbers]

    def _weights(self, x: Tensor, times: Tensor) -> Tensor:
        return self._routing.weights(self.logits(x, times))


def _rows_of(numbers: Sequence[int], weights: Tensor, device: torch.device) -> dict[int, Tensor | None]:
    # One copy to the host for all experts: on a GPU each would wait for the device.
    chosen = (weights > 0).cpu()
    if not chosen.any(dim=1).all():
        raise SamplingError(NOT_FINITE, "Check its weights and the latents.")
    rows: dict[int, Tensor | None] = {}
    for number, column in zip(numbers, chosen.unbind(1), strict=True):
        index = column.nonzero()[:, 0]
        if len(index):
            rows[number] = None if len(index) == len(column) else index.to(device)
    return rows
