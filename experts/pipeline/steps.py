"""The steps of a sampling run, one after the other: by a solver of ours, or by a scheduler of diffusers.

Flow time is in [0, 1] everywhere but at the border to diffusers, whose timesteps are a thousand times that.

Shapes: B rows, K experts, C channels, H and W picture.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from paris.experts.errors import SamplingError
from paris.experts.sampling.field import VelocityField
from paris.experts.sampling.solvers import new_solver

TIMESTEPS = 1000.0
"""What diffusers calls flow time 1."""
_USE = "Use FlowMatchEulerDiscreteScheduler, or another with prediction_type='flow_prediction', use_flow_sigmas=True."


class Steps(Protocol):
    """A run that is made step by step, so that a caller may look at what lies between, change it, or stop."""

    timesteps: Tensor
    """One a step, in diffusers' scale, from 1000 down."""
    num_steps: int
    """Steps as a person counts them: a scheduler of second order makes two of `timesteps` one step."""

    def step(self, number: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """Make step `number` from `x` `[B, C, H, W]`: the next picture, and the experts' weights `[B, K]` here."""


class SolverSteps:
    """Steps by one of our own solvers.

    Args:
        field: The velocity of all experts.
        solver: A name of `solvers.SOLVERS`.
        times: Flow times, one more than there are steps.
    """

    def __init__(self, field: VelocityField, solver: str, times: Sequence[float]) -> None:
        self._field, self._times, self._solver = field, times, new_solver(solver)
        self.num_steps = len(times) - 1
        self.timesteps = torch.tensor(times[:-1], dtype=torch.float32) * TIMESTEPS

    def step(self, number: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Steps.step`."""
        t, t_next = self._times[number : number + 2]
        value = self._field.at(x, t)
        x = self._solver.step(x, t, t_next, value.velocity, lambda x, t: self._field.at(x, t).velocity)
        return x, value.weights


class SchedulerSteps:
    """Steps by a flow-match scheduler of diffusers.

    Args:
        field: The velocity of all experts.
        scheduler: The scheduler; its state is this run's from now on.
        times: Flow times of the steps, without the last 0, for a scheduler that takes them (as `sigmas`; its own shift
            then bends them). The others space the same number of steps as they do by themselves.
        num_patches: Tokens of a picture: what dynamic shifting goes by.
        generator: Where a stochastic scheduler takes its noise from.
        device: Where the run is.

    Raises:
        SamplingError: The scheduler is none for flow matching.
    """

    def __init__(
        self,
        field: VelocityField,
        scheduler: Any,
        times: Sequence[float],
        num_patches: int,
        generator: torch.Generator | list[torch.Generator],
        device: torch.device,
    ) -> None:
        check_scheduler(scheduler)
        self._field, self._scheduler = field, scheduler
        self.num_steps = len(times)
        _set_timesteps(scheduler, times, num_patches, device)
        self.timesteps = scheduler.timesteps
        # The noise levels, not timesteps / 1000: some schedulers round their timesteps to integers.
        self._sigmas = [float(sigma) for sigma in scheduler.sigmas.tolist()]
        _check_sigmas(scheduler, self._sigmas, len(self.timesteps))
        takes = inspect.signature(scheduler.step).parameters
        self._extra = {"generator": generator} if "generator" in takes else {}

    def step(self, number: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Steps.step`."""
        value = self._field.at(x, self._sigmas[number])
        timestep = self.timesteps[number]
        return self._scheduler.step(value.velocity, timestep, x, return_dict=False, **self._extra)[0], value.weights


def check_scheduler(scheduler: Any) -> None:
    """Refuse a scheduler that does not integrate a velocity on the straight path.

    Raises:
        SamplingError: It is of another kind; the message names its class.
    """
    name = type(scheduler).__name__
    if not hasattr(scheduler, "set_timesteps") or not hasattr(scheduler, "config"):
        raise SamplingError(f"{name} is no scheduler of diffusers.", _USE)
    config = scheduler.config
    is_set_to_flow = config.get("prediction_type") == "flow_prediction" and config.get("use_flow_sigmas")
    if not name.startswith("FlowMatch") and not is_set_to_flow:
        raise SamplingError(f"{name} as configured is no flow-match scheduler, which the experts need.", _USE)


def _set_timesteps(scheduler: Any, times: Sequence[float], num_patches: int, device: torch.device) -> None:
    takes = inspect.signature(scheduler.set_timesteps).parameters
    settings: dict[str, Any] = {"device": device}
    if scheduler.config.get("use_dynamic_shifting"):
        settings["mu"] = _dynamic_shift(scheduler.config, num_patches)
    if "sigmas" in takes:
        # A copy as an array: UniPC changes what it is given.
        settings["sigmas"] = np.array(times, dtype=np.float32)
    else:
        settings["num_inference_steps"] = len(times)
    try:
        scheduler.set_timesteps(**settings)
    except (ValueError, NotImplementedError) as error:
        raise SamplingError(f"{type(scheduler).__name__} refuses {len(times)} steps: {error}") from error


def _dynamic_shift(config: Any, num_patches: int) -> float:
    """How far the scheduler shifts its times: linear in the picture's tokens.

    Source: as the diffusers pipelines of Esser et al. (arXiv 2403.03206) compute `mu`.
    """
    low, high = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    base, most = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
    return base + (most - base) * (num_patches - low) / (high - low)


def _check_sigmas(scheduler: Any, sigmas: list[float], num_evaluations: int) -> None:
    falling = all(later <= sooner for sooner, later in pairwise(sigmas))
    if len(sigmas) < num_evaluations or not falling or sigmas[0] > 1.0 or sigmas[-1] < 0.0:
        shown = ", ".join(f"{sigma:.3g}" for sigma in [sigmas[0], sigmas[-1]])
        raise SamplingError(
            f"{type(scheduler).__name__} as configured goes through noise levels from {shown}, not from 1 down to 0.",
            _USE,
        )
