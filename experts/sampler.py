"""From noise to pictures: several experts, each alone in training, sampled as one model.

The router says how probable each cluster is for the noisy picture at hand; the velocities of the chosen experts are
averaged with these probabilities. Experts are grouped over the batch: each runs once a step, on the rows that chose it.

Shapes: B rows, K experts, C channels, H and W picture, L text tokens, E text width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from paris.experts.errors import SamplingError
from paris.experts.model import TextContext
from paris.experts.routing import num_chosen, routing_weights
from paris.experts.seeding import generator_for

SOLVERS = ("euler", "heun")
MAX_ROWS = 256
"""Rows that go through an expert together, twice as many with guidance: bounds the memory of large batches."""


class VelocityModel(Protocol):
    """What `sample` needs of an expert; `DiTExpert` is one."""

    config: Any
    """Has `in_channels` and `image_size`."""

    def project_text(self, text: Tensor, text_mask: Tensor | None = None) -> TextContext:
        """Text as this expert's layers see it."""

    def __call__(self, x: Tensor, t: Tensor, text: TextContext) -> Tensor:
        """Velocity `[B, C, H, W]` at `x`, flow time `t` `[B]`."""


class Step(NamedTuple):
    """What `on_step` is told after each step."""

    number: int
    """From 0 to `num_steps - 1`."""
    t: float
    """Flow time that was reached."""
    x: Tensor
    """`[B, C, H, W]` at `t`."""
    weights: Tensor
    """Weight of each expert at the step's start, `[B, K]`; rows sum to one."""


def sample(
    experts: Mapping[int, VelocityModel] | Sequence[VelocityModel],
    router: Callable[[Tensor, Tensor], Tensor] | None,
    text_states: Tensor,
    text_mask: Tensor | None = None,
    *,
    seeds: Sequence[int | torch.Generator],
    negative: tuple[Tensor, Tensor | None] | None = None,
    prompt_evidence: Tensor | None = None,
    num_steps: int = 50,
    guidance_scale: float = 1.0,
    routing: str = "top2",
    solver: str = "euler",
    on_step: Callable[[Step], None] | None = None,
) -> Tensor:
    """Draw one picture a row, from `t = 1` (noise) to `t = 0`.

    Args:
        experts: All K, or some by number: the others are then left out and the weights shared among these.
        router: `(x, t)` to logits `[B, K]`; None where there is one expert alone.
        text_states: `[B, L, E]` on the device of the models.
        text_mask: `[B, L]`, True where a token counts; None where all do.
        seeds: One a row: a picture follows from its seed, prompt and settings, not from its neighbours.
        negative: States and mask to be led away from, one row or B: the null prompt's, or a negative prompt's.
            Needed where `guidance_scale` is not 1.
        prompt_evidence: `log p(k | prompt) - log p(k)` up to a constant, `[B, K]`: added to the router's logits.
        num_steps: Steps, equally long in t.
        guidance_scale: `v = v_negative + scale (v_text - v_negative)` in each expert; 1 is no guidance.
        routing: "top1", "top2" or "full".
        solver: "euler", or "heun" (second order, two evaluations a step).
        on_step: Told after each step; what it raises ends the sampling.

    Returns:
        float32 `[B, C, H, W]`, on the device of `text_states`.

    Raises:
        SamplingError: An argument is unknown, out of range, or does not fit the others.

    Source: McAllister et al., arXiv 2501.05450, equations 4 to 7; guidance: Ho and Salimans, arXiv 2207.12598.
    """
    numbers, models = _numbered(experts)
    _check(models, router, text_states, seeds, negative, num_steps, guidance_scale, solver)
    choose = _Choice(numbers, router, prompt_evidence, num_chosen(routing))
    field = _Field(models, choose, (text_states, text_mask), negative, guidance_scale)
    config = models[0].config
    x = initial_noise(seeds, (config.in_channels, config.image_size, config.image_size)).to(text_states.device)
    times = torch.linspace(1.0, 0.0, num_steps + 1, dtype=torch.float64).tolist()
    with torch.no_grad():
        for number, (t, t_next) in enumerate(pairwise(times)):
            velocity, weights = field.at(x, t)
            if solver == "heun":
                ahead, _ = field.at(x + (t_next - t) * velocity, t_next)
                velocity = (velocity + ahead) / 2
            x = x + (t_next - t) * velocity
            if on_step is not None:
                on_step(Step(number, t_next, x, weights))
    return x


def initial_noise(seeds: Sequence[int | torch.Generator], shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise on the CPU, each row from its own seed.

    Args:
        seeds: An integer, or a CPU generator that is then drawn from, a row.
        shape: Of one row.

    Returns:
        float32 `[B, *shape]`.
    """
    generators = [seed if isinstance(seed, torch.Generator) else generator_for(seed, "sample") for seed in seeds]
    return torch.stack([torch.randn(shape, generator=generator) for generator in generators])


class _Choice:
    """How much each expert counts for each row, at any x and t."""

    def __init__(
        self,
        numbers: list[int],
        router: Callable[[Tensor, Tensor], Tensor] | None,
        evidence: Tensor | None,
        num_best: int | None,
    ) -> None:
        self._numbers, self._router, self._evidence, self._num_best = numbers, router, evidence, num_best

    def __call__(self, x: Tensor, times: Tensor) -> Tensor:
        """Weights `[B, K]` of the experts at hand."""
        if self._router is None:
            return torch.ones(len(x), 1, device=x.device)
        logits = self._router(x, times)
        if self._numbers[-1] >= logits.shape[1]:
            raise SamplingError(f"The router knows {logits.shape[1]} experts, there is no expert {self._numbers[-1]}.")
        if self._evidence is not None:
            # Bayes: p(k | x, prompt) is proportional to p(k | x) p(k | prompt) / p(k), given k each alone.
            logits = logits + self._evidence
        return routing_weights(logits[:, self._numbers], self._num_best)


class _Field:
    """The velocity that all experts together give a batch, at any x and t."""

    def __init__(
        self,
        models: list[VelocityModel],
        choose: _Choice,
        text: tuple[Tensor, Tensor | None],
        negative: tuple[Tensor, Tensor | None] | None,
        guidance_scale: float,
    ) -> None:
        self._models, self._choose, self._scale = models, choose, guidance_scale
        self._text, self._mask = text
        self._num_rows = len(self._text)
        self._num_negative = 0
        if guidance_scale != 1.0 and negative is not None:
            self._text, self._mask = _joined(text, negative)
            self._num_negative = len(negative[0])
        self._contexts: dict[int, TextContext] = {}

    def at(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """Velocity `[B, C, H, W]` and weights `[B, K]` of a batch at flow time t."""
        times = torch.full((len(x),), t, dtype=torch.float32, device=x.device)
        weights = self._choose(x, times)
        velocity = torch.zeros_like(x)
        chosen = (weights > 0).cpu()
        for place in range(len(self._models)):
            every = chosen[:, place].nonzero()[:, 0].to(x.device)
            for rows in every.split(MAX_ROWS) if len(every) else ():
                share = weights[rows, place].reshape(-1, 1, 1, 1)
                velocity.index_add_(0, rows, share * self._guided(place, x[rows], times[rows], rows))
        return velocity, weights

    def _guided(self, place: int, x: Tensor, times: Tensor, rows: Tensor) -> Tensor:
        """One expert's velocity for some rows; with guidance, both halves in one batch."""
        model, context = self._models[place], self._context(place)
        if not self._num_negative:
            return model(x, times, context.rows(rows)).float()
        away = self._num_rows + (rows if self._num_negative > 1 else torch.zeros_like(rows))
        both = model(x.repeat(2, 1, 1, 1), times.repeat(2), context.rows(torch.cat([rows, away]))).float()
        with_text, without = both.chunk(2)
        return torch.lerp(without, with_text, self._scale)

    def _context(self, place: int) -> TextContext:
        if place not in self._contexts:
            self._contexts[place] = self._models[place].project_text(self._text, self._mask)
        return self._contexts[place]


def _numbered(
    experts: Mapping[int, VelocityModel] | Sequence[VelocityModel],
) -> tuple[list[int], list[VelocityModel]]:
    pairs = sorted(experts.items()) if isinstance(experts, Mapping) else list(enumerate(experts))
    if not pairs:
        raise SamplingError("There is no expert to sample from.")
    return [number for number, _ in pairs], [model for _, model in pairs]


def _joined(text: tuple[Tensor, Tensor | None], negative: tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor | None]:
    """Text and negative text one under the other: `[B + B or 1, L, E]`."""
    (states, mask), (away, away_mask) = text, negative
    away = away.to(states)
    if mask is None and away_mask is None:
        return torch.cat([states, away]), None
    masks = [
        torch.ones(rows.shape[:2], dtype=torch.bool, device=states.device) if known is None else known.to(states.device)
        for rows, known in ((states, mask), (away, away_mask))
    ]
    return torch.cat([states, away]), torch.cat(masks)


def _check(
    models: list[VelocityModel],
    router: object | None,
    text_states: Tensor,
    seeds: Sequence[int | torch.Generator],
    negative: tuple[Tensor, Tensor | None] | None,
    num_steps: int,
    guidance_scale: float,
    solver: str,
) -> None:
    if solver not in SOLVERS:
        raise SamplingError(f"Unknown solver {solver!r}.", f"Choose one of {', '.join(SOLVERS)}.")
    if num_steps < 1:
        raise SamplingError(f"num_steps is {num_steps}, at least 1 is needed.")
    if router is None and len(models) > 1:
        raise SamplingError(f"{len(models)} experts need a router.")
    if not len(seeds) or len(seeds) != len(text_states):
        raise SamplingError(
            f"There are {len(seeds)} seeds for {len(text_states)} rows of text.", "Give one seed a row."
        )
    if guidance_scale == 1.0:
        return
    if negative is None:
        raise SamplingError(f"guidance_scale {guidance_scale} needs the null prompt's states.", "Pass negative=.")
    if len(negative[0]) not in (1, len(text_states)):
        raise SamplingError(f"There are {len(negative[0])} negative prompts for {len(text_states)} rows of text.")
