"""The velocity that all experts together give a batch of noisy pictures: what any solver or scheduler asks for.

The router says how probable each cluster is for the noisy picture at hand; the velocities of the chosen experts are
averaged with these probabilities. Experts are grouped over the batch: each is fetched once an evaluation and runs on
all rows that chose it, with the negative prompts of these rows in the same batch, or on those that it speaks for.

Shapes: B rows, K experts, C channels, H and W picture, L text tokens, E text width, R rows of one expert.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import NamedTuple, cast

import torch
from torch import Tensor

from paris.experts.errors import SamplingError
from paris.experts.models.prompt_router import PromptSays
from paris.experts.models.router import Router
from paris.experts.objectives.objectives import VelocityModel
from paris.experts.sampling.ancestral import AncestralRun
from paris.experts.sampling.crowd import CrowdRun
from paris.experts.sampling.expert_source import ExpertSource, as_source, resident_in
from paris.experts.sampling.guidance import Guidance, GuidedRun, as_guidance
from paris.experts.sampling.routing import AskedRouter, Chosen, RoutedRun, Routing, as_routing
from paris.experts.sampling.text_contexts import Side, Text, TextContexts

MAX_ROWS = 256
"""Rows that go through an expert together, twice as many with their negative prompts: bounds the memory of large
batches."""


def picture_shape(experts: ExpertSource) -> tuple[int, int, int]:
    """`(C, H, W)` of what experts make."""
    config = getattr(experts, "config", None) or experts[min(experts.keys())].config
    return config.in_channels, config.image_size, config.image_size


class FieldValue(NamedTuple):
    """The field at one point."""

    velocity: Tensor
    """float32 `[B, C, H, W]`."""
    weights: Tensor
    """How much each expert counted, float32 `[B, K]`, columns as in `VelocityField.numbers`; rows sum to one."""


class VelocityField:
    """Experts, router, prompts and guidance as one velocity. One object serves one sampling run.

    Args:
        experts: All K, or some by number: the others are then left out and the weights shared among these.
        router: `(x, t)` to logits `[B, K]`, or a `Router`; None where there is one expert alone.
        text_states: `[B, L, E]` on the device of the models.
        text_mask: `[B, L]`, True where a token counts; None where all do.
        negative: States and mask to be led away from, one row or B: the null prompt's, or a negative prompt's.
            Needed where the guidance scale is not 1.
        prompt: What the prompts say of the experts; None where the noisy picture alone decides. Of a router that sees
            the prompt nothing but the draw of ancestral routing is left to it.
        guidance: How far, when and away from what; a number is the scale, at all times, away from the same experts.
        routing: Which experts a row uses; or the name of such a rule.
        draws: Uniform in [0, 1), one a row `[B]`; where `draws_experts` says that they are needed.

    Raises:
        SamplingError: The arguments do not fit each other, or no routing has this name.
        SettingsError: The guidance scale is out of range.

    Source: McAllister et al., arXiv 2501.05450, equations 4 to 7.
    """

    def __init__(
        self,
        experts: ExpertSource | Sequence[VelocityModel],
        router: Callable[[Tensor, Tensor], Tensor] | None,
        text_states: Tensor,
        text_mask: Tensor | None = None,
        *,
        negative: Text | None = None,
        prompt: PromptSays | None = None,
        guidance: Guidance | float = 1.0,
        routing: Routing | str = "top2",
        draws: Tensor | None = None,
    ) -> None:
        guidance = as_guidance(guidance)
        if guidance.scale != 1.0 and negative is None:
            raise SamplingError(f"guidance_scale {guidance.scale} needs the null prompt's states.", "Pass negative=.")
        self._experts = as_source(experts)
        self.numbers = tuple(sorted(self._experts.keys()))
        """Numbers of the experts at hand."""
        rule = as_routing(routing)
        sees_prompt = getattr(router, "sees_prompt", False)
        told = None if prompt is None or sees_prompt else prompt
        self._asked = _asked(router, (text_states, text_mask))
        self._routed = RoutedRun(self.numbers, self._asked, told and told.evidence, rule)
        self._ancestral = AncestralRun(self._routed, prompt, draws, len(text_states), rule) if rule.ancestral else None
        self._guided, self._crowd, self._asked_away = GuidedRun(guidance), None, self._asked
        if negative is not None and guidance.scale != 1.0 and guidance.away_from == "ensemble":
            self._asked_away = _asked(router, negative) if sees_prompt else self._asked
            evidence = told and told.negative_evidence
            self._crowd = CrowdRun(self.numbers, self._asked_away, evidence, draws, len(text_states))
        self._contexts = TextContexts((text_states, text_mask), negative if guidance.scale != 1.0 else None)
        self.num_rows = len(text_states)
        """Pictures, B."""
        self.num_evaluations = 0
        """How often the field was asked."""
        self.num_expert_rows = 0
        """Rows that went through an expert, the negative ones counted too: what a run costs."""

    @property
    def num_router_rows(self) -> int:
        """Rows that went through the router."""
        return sum(asked.num_asked for asked in {self._asked, self._asked_away} if asked) * self.num_rows

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """`(C, H, W)` of what the experts make."""
        return picture_shape(self._experts)

    @torch.no_grad()
    def at(self, x: Tensor, t: float) -> FieldValue:
        """The field at one flow time. Ask in the order of the run: routing and guidance may reuse what they last saw.

        Args:
            x: Noisy pictures or latents float32 `[B, C, H, W]`.
            t: Flow time in [0, 1]; 1 is noise.

        Raises:
            SamplingError: `x` has another number of rows than the text, or a shape that the models refuse.
        """
        if len(x) != self.num_rows:
            raise SamplingError(f"There are {len(x)} pictures for {self.num_rows} rows of text.")
        times = torch.full((len(x),), t, dtype=torch.float32, device=x.device)
        chosen = self._routed(x, times) if self._ancestral is None else self._ancestral(x, times, t)
        asks_negative = self._guided.asks_negative(t)
        wanted: dict[Side, Chosen] = {"both" if asks_negative else "text": chosen}
        if asks_negative and self._crowd is not None:
            wanted = {"text": chosen, "negative": self._crowd(x, times)}
        velocities = [half for halves in self._mixed(x, times, wanted) for half in halves]
        self.num_evaluations += 1
        return FieldValue(self._guided.combine(velocities[0], velocities[1] if asks_negative else None), chosen.weights)

    def _mixed(self, x: Tensor, times: Tensor, wanted: dict[Side, Chosen]) -> list[Tensor]:
        """The velocities of each side `[1 or 2, B, C, H, W]`, of both text first: its experts' under their weights."""
        parts, mixed = self._parts(x, times, wanted), []
        for side, chosen in wanted.items():
            sums = torch.zeros(_halves(side), *x.shape, device=x.device)
            # In the order of the numbers, not of computing: a picture must not depend on which experts were resident.
            for number, rows in chosen.rows.items():
                share = chosen.weights[:, self.numbers.index(number)]
                if rows is None:
                    sums.addcmul_(parts[side, number], share.reshape(-1, 1, 1, 1))
                else:
                    sums.index_add_(1, rows, parts[side, number] * share[rows].reshape(-1, 1, 1, 1))
            mixed.append(sums)
        return mixed

    def _parts(self, x: Tensor, times: Tensor, wanted: dict[Side, Chosen]) -> dict[tuple[Side, int], Tensor]:
        """Velocities of each chosen expert `[1 or 2, R, C, H, W]`; those that need no fetching run first."""
        resident = resident_in(self._experts)
        numbers = {number for chosen in wanted.values() for number in chosen.rows}
        order = sorted(numbers, key=lambda number: (resident is not None and number not in resident, number))
        prefetch = getattr(self._experts, "prefetch", None)
        parts = {}
        for number, following in zip_longest(order, order[1:]):
            model = self._experts[number]
            if prefetch is not None and following is not None:
                prefetch(following)
            for side, chosen in wanted.items():
                if number in chosen.rows:
                    parts[side, number] = self._rows(number, model, x, times, chosen.rows[number], side)
            if resident is not None:
                # Now and not after the last: keys and values of all experts would be as large as an expert.
                self._contexts.keep_only(resident_in(self._experts) or set())
        return parts

    def _rows(
        self, number: int, model: VelocityModel, x: Tensor, times: Tensor, rows: Tensor | None, side: Side
    ) -> Tensor:
        """One expert's velocities for its rows `[1 or 2, R, C, H, W]`; None: for all."""
        pieces = [slice(first, min(first + MAX_ROWS, len(x))) for first in range(0, len(x), MAX_ROWS)]
        batches: Sequence[Tensor | slice] = pieces if rows is None else rows.split(MAX_ROWS)
        made = [self._one(number, model, x, times, batch, side) for batch in batches]
        return made[0] if len(made) == 1 else torch.cat(made, dim=1)

    def _one(
        self, number: int, model: VelocityModel, x: Tensor, times: Tensor, rows: Tensor | slice, side: Side
    ) -> Tensor:
        """One expert's velocities for some rows `[1 or 2, R, C, H, W]`; both sides in one batch."""
        context = self._contexts.of(number, model, rows, side)
        x, times = x[rows], times[rows]
        if side == "both":
            x, times = x.repeat(2, 1, 1, 1), times.repeat(2)
        self.num_expert_rows += len(x)
        return model(x, times, context).float().unflatten(0, (_halves(side), -1))


def draws_experts(guidance: Guidance, routing: Routing) -> bool:
    """Whether a run needs a number a row to draw experts with."""
    return routing.ancestral or (guidance.scale != 1.0 and guidance.away_from == "ensemble")


def _halves(side: Side) -> int:
    return 2 if side == "both" else 1


def _asked(router: Callable[[Tensor, Tensor], Tensor] | None, text: Text) -> AskedRouter | None:
    """The router within this run; one that sees the prompt is told this one."""
    if router is None:
        return None
    # Not by its class: a compiled router is another one.
    return AskedRouter(cast(Router, router).given(*text) if getattr(router, "sees_prompt", False) else router)
