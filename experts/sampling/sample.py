"""The sampling loop: from noise at t = 1 to data at t = 0.

    sample      noise of the seeds, the field of model and prompts, the steps of `integrate`
    integrate   dx/dt = v(x, t) along given times: the only loop there is
    field.py    v(x, t): which experts run, and how they are mixed and guided
    solvers.py  from x at t to x at t_next

Shapes: B rows, K experts, C channels, H and W picture.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import SupportsIndex, TypeAlias

import torch
from torch import Tensor

from paris.experts.errors import SamplingError
from paris.experts.sampling.experts import Ensemble
from paris.experts.sampling.field import VelocityField
from paris.experts.sampling.prompts import Prompts
from paris.experts.sampling.settings import SamplingSettings
from paris.experts.sampling.solvers import Solver, flow_times, new_solver
from paris.experts.seeding import generator_for

Seed: TypeAlias = SupportsIndex | torch.Generator
"""An integer of any kind, also of NumPy; or a generator, which is then drawn from."""


@dataclass
class Step:
    """One step of a sampling run."""

    number: int
    """From 0."""
    t_start: float
    """Flow time at which the step began."""
    t: float
    """Flow time that was reached."""
    x: Tensor
    """`[B, C, H, W]` at `t`. The run continues from here: assign to it to change the picture on the way."""
    weights: Tensor
    """Weight of each expert at the step's start, `[B, K]`; rows sum to one."""


@torch.no_grad()
def sample(
    model: Ensemble,
    prompts: Prompts,
    seeds: Sequence[Seed],
    settings: SamplingSettings,
    *,
    latents: Tensor | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Tensor:
    """Draw one picture a prompt.

    Args:
        model: Experts and router.
        prompts: B rows, on the device of the models.
        seeds: One a row: a picture follows from its seed, prompt and settings, not from its neighbours. Integers, or
            CPU generators, which are then drawn from.
        settings: Steps, solver, guidance, routing.
        latents: Noise to start from, `[B, C, H, W]`, in place of what the seeds would draw.
        on_step: Called after each step, which it may change; an exception ends the sampling.

    Returns:
        float32 `[B, C, H, W]`, on the device of the prompts.

    Raises:
        SamplingError: The arguments do not fit each other.
    """
    solver, times = new_solver(settings.solver), flow_times(settings.num_steps, settings.time_shift)
    shape = (len(prompts), *model.experts.picture_shape)
    if latents is None:
        check_seeds(seeds, len(prompts))
    generators = generators_of(seeds)
    x = initial_noise(generators, shape[1:]) if latents is None else check_latents(latents, shape).float()
    # After the noise, which so does not depend on the routing.
    uniforms = uniforms_of(generators) if settings.needs_uniforms else None
    field = VelocityField(model, prompts, settings.guidance, settings.routing, uniforms)
    # For the whole run: two runs that took turns would fetch their experts again at each step.
    with model.experts.exclusive():
        for step in integrate(field, x.to(prompts.states.device), times, solver):
            if on_step is not None:
                on_step(step)
            x = step.x
    return x


@torch.no_grad()
def integrate(field: VelocityField, x: Tensor, times: Sequence[float], solver: Solver) -> Iterator[Step]:
    """Integrate the field along the times, one step an item.

    Args:
        field: The velocity, new for this run.
        x: Noise at `times[0]`, float32 `[B, C, H, W]`.
        times: Flow times, falling; one more than there are steps.
        solver: New for this run.
    """
    for number, (t, t_next) in enumerate(pairwise(times)):
        velocity, weights = field.at(x, t)
        x = solver.step(x, t, t_next, velocity, lambda x, t: field.at(x, t).velocity)
        step = Step(number, t, t_next, x, weights)
        yield step
        x = step.x


def initial_noise(seeds: Sequence[Seed], shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise, a row of this shape from each seed or generator: float32 `[B, *shape]`, on the CPU."""
    rows = [
        torch.randn(shape, generator=one, device=one.device, dtype=torch.float32).cpu() for one in generators_of(seeds)
    ]
    return torch.stack(rows)


def generators_of(seeds: Sequence[Seed]) -> list[torch.Generator]:
    """A generator a row: those given, and a new one for each integer.

    Raises:
        SamplingError: A seed is neither.
    """
    return [seed if isinstance(seed, torch.Generator) else generator_for(seed_of(seed), "sample") for seed in seeds]


def seed_of(seed: object) -> int:
    """A seed as an int.

    Raises:
        SamplingError: It is no integer.
    """
    try:
        return operator.index(seed)  # type: ignore[arg-type]
    except TypeError as error:
        raise SamplingError(f"{seed!r:.80} is no seed.", "Give an integer or a torch.Generator.") from error


def uniforms_of(generators: Sequence[torch.Generator]) -> Tensor:
    """What experts are drawn with: float32 in [0, 1) `[B]`, on the CPU, from each row's generator after its noise."""
    rows = [torch.rand(1, generator=one, device=one.device, dtype=torch.float32).cpu() for one in generators]
    return torch.cat(rows) if rows else torch.zeros(0)


def check_seeds(seeds: Sequence[Seed], num_rows: int) -> None:
    """Raise SamplingError unless there is one seed a row, and a row."""
    if not len(seeds) or len(seeds) != num_rows:
        raise SamplingError(f"There are {len(seeds)} seeds for {num_rows} rows of text.", "Give one seed a picture.")


def check_latents(latents: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The latents; SamplingError unless they are a tensor of this shape, `[B, C, H, W]`."""
    if not isinstance(latents, Tensor):
        raise SamplingError(f"The latents are a {type(latents).__name__}, a tensor is needed.")
    if tuple(latents.shape) != shape:
        raise SamplingError(f"The latents have shape {list(latents.shape)}, {list(shape)} is needed.")
    return latents
