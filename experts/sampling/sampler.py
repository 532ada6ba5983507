"""From noise to pictures: several experts, each alone in training, sampled as one model.

What is averaged, and which experts run, is in `field.py`; how a step is taken, in `solvers.py`.

Shapes: B rows, K experts, C channels, H and W picture, L text tokens, E text width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from paris.experts.errors import SamplingError
from paris.experts.models.prompt_router import PromptSays
from paris.experts.objectives.objectives import VelocityModel
from paris.experts.sampling.expert_source import ExpertSource, as_source
from paris.experts.sampling.field import VelocityField, draws_experts, picture_shape
from paris.experts.sampling.guidance import Guidance, as_guidance
from paris.experts.sampling.routing import Routing, as_routing
from paris.experts.sampling.solvers import flow_times, new_solver
from paris.experts.sampling.text_contexts import Text
from paris.experts.seeding import generator_for


class Step(NamedTuple):
    """What `on_step` is told after each step."""

    number: int
    """From 0 to `num_steps - 1`."""
    t_start: float
    """Flow time at which the step began."""
    t: float
    """Flow time that was reached."""
    x: Tensor
    """`[B, C, H, W]` at `t`."""
    weights: Tensor
    """Weight of each expert at the step's start, `[B, K]`; rows sum to one."""


def sample(
    experts: ExpertSource | Sequence[VelocityModel],
    router: Callable[[Tensor, Tensor], Tensor] | None,
    text_states: Tensor,
    text_mask: Tensor | None = None,
    *,
    seeds: Sequence[int | torch.Generator],
    negative: Text | None = None,
    prompt: PromptSays | None = None,
    num_steps: int = 50,
    guidance: Guidance | float = 1.0,
    routing: Routing | str = "top2",
    solver: str = "euler",
    time_shift: float = 1.0,
    latents: Tensor | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Tensor:
    """Draw one picture a row, from `t = 1` (noise) to `t = 0`.

    Args:
        experts: See `VelocityField`; here and below.
        router: Chooses among them.
        text_states: `[B, L, E]` on the device of the models.
        text_mask: `[B, L]`, True where a token counts; None where all do.
        seeds: One a row: a picture follows from its seed, prompt and settings, not from its neighbours. Integers, or
            CPU generators, which are then drawn from.
        negative: States and mask to be led away from, one row or B.
        prompt: What the prompts say of the experts.
        num_steps: Steps.
        guidance: How far, when and away from what; a number is the scale, at all times; 1 is no guidance.
        routing: Which experts a row uses.
        solver: One of `solvers.SOLVERS`.
        time_shift: 1 for equal steps, see `solvers.flow_times`.
        latents: Noise to start from, float32 `[B, C, H, W]`, in place of what the seeds would draw.
        on_step: Told after each step; what it raises ends the sampling.

    Returns:
        float32 `[B, C, H, W]`, on the device of `text_states`.

    Raises:
        SamplingError: An argument is unknown, out of range, or does not fit the others.
        SettingsError: The guidance scale is out of range.
    """
    source, rule = as_source(experts), as_routing(routing)
    steps, times = new_solver(solver), flow_times(num_steps, time_shift)
    _check_rows(seeds, latents, text_states, picture_shape(source))
    generators = generators_of(seeds)
    x = initial_noise(generators, picture_shape(source)) if latents is None else latents.float()
    guidance = as_guidance(guidance)
    field = VelocityField(
        source,
        router,
        text_states,
        text_mask,
        negative=negative,
        prompt=prompt,
        guidance=guidance,
        routing=rule,
        draws=expert_draws(generators) if draws_experts(guidance, rule) else None,
    )
    x = x.to(text_states.device)
    with torch.no_grad():
        for number, (t, t_next) in enumerate(pairwise(times)):
            velocity, weights = field.at(x, t)
            x = steps.step(x, t, t_next, velocity, lambda there, then: field.at(there, then).velocity)
            if on_step is not None:
                on_step(Step(number, t, t_next, x, weights))
    return x


def initial_noise(seeds: Sequence[int | torch.Generator], shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise on the CPU, each row from its own seed.

    Args:
        seeds: An integer, or a CPU generator that is then drawn from, a row.
        shape: Of one row.

    Returns:
        float32 `[B, *shape]`.
    """
    return torch.stack([torch.randn(shape, generator=generator) for generator in generators_of(seeds)])


def generators_of(seeds: Sequence[int | torch.Generator]) -> list[torch.Generator]:
    """A generator a row: those given, and a fresh one for each integer."""
    return [seed if isinstance(seed, torch.Generator) else generator_for(seed, "sample") for seed in seeds]


def expert_draws(generators: Sequence[torch.Generator]) -> Tensor:
    """What a run draws experts with: uniform float32 in [0, 1) `[B]`, on the CPU.

    Args:
        generators: One a row, after its noise: so a row's noise does not depend on the routing.
    """
    drawn = [torch.rand(1, generator=one, device=one.device).cpu() for one in generators]
    return torch.cat(drawn) if drawn else torch.zeros(0)


def _check_rows(
    seeds: Sequence[int | torch.Generator],
    latents: Tensor | None,
    text_states: Tensor,
    shape: tuple[int, int, int],
) -> None:
    if latents is not None:
        wanted = (len(text_states), *shape)
        if tuple(latents.shape) != wanted:
            raise SamplingError(f"The latents have shape {list(latents.shape)}, {list(wanted)} is needed.")
    elif not len(seeds) or len(seeds) != len(text_states):
        raise SamplingError(
            f"There are {len(seeds)} seeds for {len(text_states)} rows of text.", "Give one seed a row."
        )
