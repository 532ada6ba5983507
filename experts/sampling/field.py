"""The velocity that all experts together give a batch of noisy pictures: what a solver or a scheduler integrates.

One evaluation, at `(x, t)`:

1. The router says how probable each cluster is for the noisy picture; `routing.py` makes weights `[B, K]` of that.
2. Each expert with a weight runs once on all rows that use it, with their negative prompts in the same batch; guidance
   away from the ensemble has an expert of its own for each row's negative prompt.
3. The velocities of a row's experts are averaged with its weights, and `guidance.py` combines text and negative.

Shapes: B rows, K experts, C channels, H and W picture, R rows of one expert.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple, cast

import torch
from torch import Tensor

from paris.experts.errors import SamplingError
from paris.experts.models.router import Router
from paris.experts.objectives.objectives import VelocityModel
from paris.experts.sampling.experts import Ensemble, RouterModel
from paris.experts.sampling.guidance import Guidance, GuidanceRun
from paris.experts.sampling.prompts import Prompts, Side, Text, TextCache
from paris.experts.sampling.routing import Assignment, CachedRouter, Posterior, Routing, RoutingRun, drawn_weights

MAX_ROWS = 256
"""Rows that go through an expert together, twice as many with their negative prompts: bounds the memory of large
batches."""
_DIGITS = 4096


class FieldValue(NamedTuple):
    """The field at one point."""

    velocity: Tensor
    """float32 `[B, C, H, W]`."""
    weights: Tensor
    """How much each expert counted, float32 `[B, K]`, columns as in `VelocityField.numbers`; rows sum to one."""


class VelocityField:
    """A model and its prompts as one velocity `v(x, t)`. One object serves one sampling run.

    Args:
        model: Experts and router.
        prompts: One row a picture. Of a router that sees them, their posterior counts only in ancestral routing.
        guidance: Needs `prompts.negative`, unless its scale is 1.
        routing: Which experts a row uses.
        uniforms: In [0, 1), one a row `[B]`: what experts are drawn with, in ancestral routing and in guidance away
            from the ensemble; None elsewhere.

    Raises:
        SamplingError: The arguments do not fit each other.

    Source: McAllister et al., arXiv 2501.05450, equations 4 to 7.
    """

    def __init__(
        self,
        model: Ensemble,
        prompts: Prompts,
        guidance: Guidance = Guidance(),  # noqa: B008 - frozen
        routing: Routing = Routing(),  # noqa: B008 - frozen
        uniforms: Tensor | None = None,
    ) -> None:
        negative = prompts.negative if guidance.is_on else None
        if guidance.is_on and negative is None:
            raise SamplingError(f"guidance_scale {guidance.scale} needs the null prompt's states.", "Pass negative=.")
        if not prompts.states.shape[2]:
            guidance.check_without_text()
        _check_uniforms(uniforms, len(prompts), guidance, routing)
        self.num_rows = len(prompts)
        """Pictures, B."""
        self.num_evaluations = 0
        """How often the field was evaluated."""
        self.num_expert_rows = 0
        """Rows that went through an expert, the negative ones counted too: what a run costs."""
        self._experts = model.experts
        self.picture_shape = model.experts.picture_shape
        """`(C, H, W)` of what the experts make."""
        self.numbers = tuple(sorted(model.experts.keys()))
        """Numbers of the experts at hand."""
        sees_prompt = getattr(model.router, "sees_prompt", False)
        # The answer of a router that sees the prompt has the prompt's evidence in it already.
        joined = None if sees_prompt else prompts.posterior
        router = _cached(model.router, prompts.text)
        posterior = Posterior(self.numbers, router, joined and joined.evidence)
        prompt_logits = prompts.posterior and prompts.posterior.log_posterior
        self._routing = RoutingRun(routing, posterior, prompt_logits, uniforms)
        self._guidance, self._routers = GuidanceRun(guidance), {router}
        self._is_guided = negative is not None
        self._negative_posterior: Posterior | None = None
        if negative is not None and uniforms is not None and guidance.is_away_from_ensemble:
            unconditional = _cached(model.router, negative) if sees_prompt else router
            self._negative_posterior = Posterior(self.numbers, unconditional, joined and joined.negative_evidence)
            self._routers.add(unconditional)
            # The digits behind those that chose the picture's own expert: as good as another number.
            self._negative_uniforms = (uniforms.cpu().double() * _DIGITS).frac()
        self._texts = TextCache(prompts.text, negative)

    @property
    def num_router_rows(self) -> int:
        """Rows that went through the router."""
        return sum(router.num_calls for router in self._routers if router) * self.num_rows

    @property
    def guidance_scale(self) -> float:
        """The guidance's scale from now on; 1 is no guidance.

        Raises:
            SamplingError: The run began without guidance, so there is no negative prompt to lead away from.
            SettingsError: The scale is out of range.
        """
        return self._guidance.scale

    @guidance_scale.setter
    def guidance_scale(self, scale: float) -> None:
        changed = Guidance.from_settings({"scale": scale})
        if changed.is_on and not self._is_guided:
            raise SamplingError(
                f"The guidance scale was changed to {scale} in a call that began without guidance.",
                "Start the call with guidance_scale above 1.",
            )
        self._guidance.scale = changed.scale

    @torch.no_grad()
    def at(self, x: Tensor, t: float) -> FieldValue:
        """The field at one flow time. Ask in the order of the run: routing and guidance reuse earlier values.

        Args:
            x: Noisy pictures or latents float32 `[B, C, H, W]`.
            t: Flow time in [0, 1]; 1 is noise.

        Raises:
            SamplingError: `x` has another number of rows than the prompts, or a shape that the models refuse.
        """
        if len(x) != self.num_rows:
            raise SamplingError(f"There are {len(x)} pictures for {self.num_rows} rows of text.")
        times = torch.full((len(x),), t, dtype=torch.float32, device=x.device)
        assigned = self._routing(x, times, t)
        negative = None
        if not self._guidance.needs_negative(t):
            (velocity,) = self._mixed(x, times, {"text": assigned})
        elif self._negative_posterior is None:
            velocity, negative = self._mixed(x, times, {"both": assigned})
        else:
            weights = drawn_weights(self._negative_posterior(x, times), self._negative_uniforms)
            drawn = Assignment.of(self.numbers, weights, x.device)
            velocity, negative = self._mixed(x, times, {"text": assigned, "negative": drawn})
        self.num_evaluations += 1
        return FieldValue(self._guidance.combine(velocity, negative), assigned.weights)

    def _mixed(self, x: Tensor, times: Tensor, assigned: dict[Side, Assignment]) -> list[Tensor]:
        """The weighted mean of the experts' velocities `[B, C, H, W]`: of the text, then of the negative text."""
        velocities, mixed = self._velocities(x, times, assigned), []
        for side, (weights, rows_of) in assigned.items():
            sums = torch.zeros(_num_halves(side), *x.shape, dtype=torch.float32, device=x.device)
            # In the order of the numbers, not of computing: a picture must not depend on which experts were resident.
            for number, rows in rows_of.items():
                weight = weights[:, self.numbers.index(number)]
                if rows is None:
                    sums.addcmul_(velocities[side, number], weight.reshape(-1, 1, 1, 1))
                else:
                    sums.index_add_(1, rows, velocities[side, number] * weight[rows].reshape(-1, 1, 1, 1))
            mixed += list(sums)
        return mixed

    def _velocities(self, x: Tensor, times: Tensor, assigned: dict[Side, Assignment]) -> dict[tuple[Side, int], Tensor]:
        """Velocities of each expert that runs `[1 or 2, R, C, H, W]`; those that need no fetching run first."""
        with self._experts.exclusive():
            return self._velocities_alone(x, times, assigned)

    def _velocities_alone(
        self, x: Tensor, times: Tensor, assigned: dict[Side, Assignment]
    ) -> dict[tuple[Side, int], Tensor]:
        resident = set(self._experts.resident)
        numbers = {number for assignment in assigned.values() for number in assignment.rows}
        order = sorted(numbers, key=lambda number: (number not in resident, number))
        velocities = {}
        for number, following in zip_longest(order, order[1:]):
            expert = self._experts[number]
            if following is not None:
                self._experts.prefetch(following)
            for side, assignment in assigned.items():
                if number in assignment.rows:
                    rows = assignment.rows[number]
                    velocities[side, number] = self._in_batches(number, expert, x, times, rows, side)
            # Now and not after the last: keys and values of all experts would be as large as an expert.
            self._texts.keep_only(set(self._experts.resident))
        return velocities

    def _in_batches(
        self, number: int, expert: VelocityModel, x: Tensor, times: Tensor, rows: Tensor | None, side: Side
    ) -> Tensor:
        """One expert's velocities for its rows (None: all) `[1 or 2, R, C, H, W]`."""
        slices = [slice(first, min(first + MAX_ROWS, len(x))) for first in range(0, len(x), MAX_ROWS)]
        batches: Sequence[Tensor | slice] = slices if rows is None else rows.split(MAX_ROWS)
        velocities = [self._one_batch(number, expert, x, times, batch, side) for batch in batches]
        return velocities[0] if len(velocities) == 1 else torch.cat(velocities, dim=1)

    def _one_batch(
        self, number: int, expert: VelocityModel, x: Tensor, times: Tensor, rows: Tensor | slice, side: Side
    ) -> Tensor:
        """One expert's velocities for at most `MAX_ROWS` rows `[1 or 2, R, C, H, W]`."""
        context = self._texts.context(number, expert, rows, side)
        x, times = x[rows], times[rows]
        if side == "both":
            x, times = x.repeat(2, 1, 1, 1), times.repeat(2)
        self.num_expert_rows += len(x)
        return expert(x, times, context).float().unflatten(0, (_num_halves(side), -1))


def _check_uniforms(uniforms: Tensor | None, num_rows: int, guidance: Guidance, routing: Routing) -> None:
    given = 0 if uniforms is None else len(uniforms)
    if given == num_rows or not (routing.ancestral or guidance.is_away_from_ensemble):
        return
    what = "Ancestral routing" if routing.ancestral else "Guidance away from the ensemble"
    raise SamplingError(
        f"{what} draws an expert for each of {num_rows} pictures, and was given {given} seeds.",
        "Give one seed a picture.",
    )


def _num_halves(side: Side) -> int:
    return 2 if side == "both" else 1


def _cached(router: RouterModel | None, text: Text) -> CachedRouter | None:
    """The router of this run; one that sees the prompt is given this text."""
    if router is None:
        return None
    # Not by its class: a compiled router is another one.
    return CachedRouter(cast(Router, router).given(*text) if getattr(router, "sees_prompt", False) else router)
