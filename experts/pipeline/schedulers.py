"""Schedulers of diffusers: as solvers of the sampling loop, and in a model's folder.

scheduler/scheduler_config.json is as diffusers writes it; it is absent in the published weights, and in a model that is
sampled by a solver of ours. Flow time is in [0, 1]; timesteps of diffusers are a thousand times that.

Shapes: B rows, C channels, H and W picture.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import diffusers
import numpy as np
import torch
from torch import Tensor

from paris.experts.errors import LayoutError, SamplingError
from paris.experts.locks import ReentrantLock
from paris.experts.release.layout_files import read_json, write_json
from paris.experts.sampling.settings import SamplingSettings
from paris.experts.sampling.solvers import Solver, Velocity, flow_times, new_solver

TIMESTEPS = 1000.0
"""What diffusers calls flow time 1."""
_USE = "Use FlowMatchEulerDiscreteScheduler, or another with prediction_type='flow_prediction', use_flow_sigmas=True."
_SIGMAS = "Give falling noise levels in (0, 1], such as [1.0, 0.7, 0.3], without a last 0."
_FOLDER = "scheduler"
_FILE = "scheduler_config.json"
_INDEX = "model_index.json"
_LOCKS: WeakKeyDictionary[Any, ReentrantLock] = WeakKeyDictionary()
_LOCKS_LOCK = ReentrantLock()


class SchedulerSolver:
    """A flow-match scheduler of diffusers as a `Solver`, for one sampling run; the scheduler's state is this run's.

    Args:
        scheduler: The scheduler.
        times: Flow times of the steps, without the last 0, for a scheduler that takes them (as `sigmas`; its own shift
            then bends them). Others space the same number of steps by themselves.
        num_patches: Tokens of a picture, for dynamic shifting.
        generator: Noise of a stochastic scheduler.
        device: Where the run is.

    Raises:
        SamplingError: The scheduler is none for flow matching.
    """

    def __init__(
        self,
        scheduler: Any,
        times: Sequence[float],
        num_patches: int,
        generator: torch.Generator | list[torch.Generator],
        device: torch.device,
    ) -> None:
        check_scheduler(scheduler)
        self._scheduler, self._number = scheduler, 0
        _set_timesteps(scheduler, times, num_patches, device)
        self.timesteps: Tensor = scheduler.timesteps
        """One an evaluation, from 1000 down."""
        sigmas = [float(sigma) for sigma in scheduler.sigmas.tolist()]
        _check_sigmas(scheduler, sigmas, len(self.timesteps))
        # The noise levels, not timesteps / 1000: some schedulers round their timesteps to integers.
        self.times = [*sigmas, 0.0][: len(self.timesteps) + 1]
        """Flow times of the evaluations, and the end."""
        takes = inspect.signature(scheduler.step).parameters
        self._extra = {"generator": generator} if "generator" in takes else {}

    def step(self, x: Tensor, t: float, t_next: float, velocity: Tensor, at: Velocity) -> Tensor:
        """See `Solver.step`."""
        timestep = self.timesteps[self._number]
        self._number += 1
        return self._scheduler.step(velocity, timestep, x, return_dict=False, **self._extra)[0]


@dataclass(frozen=True)
class Steps:
    """The steps of one sampling run."""

    solver: Solver
    times: list[float]
    """Flow times, one more than there are evaluations by the sampling loop."""
    timesteps: Tensor
    """Where each evaluation begins, in diffusers' scale."""
    num_steps: int
    """As a person counts them: a scheduler of second order makes two evaluations a step."""


def steps_of(
    scheduler: Any,
    settings: SamplingSettings,
    num_patches: int,
    generator: torch.Generator | list[torch.Generator],
    device: torch.device,
    sigmas: Sequence[float] | None = None,
) -> Steps:
    """The steps by a scheduler, or by the solver of the settings if there is none; see `SchedulerSolver`.

    Raises:
        SamplingError: The scheduler is none for flow matching, or takes no `sigmas`.
    """
    times = flow_times(settings.num_steps, settings.time_shift) if sigmas is None else [*sigmas, 0.0]
    if scheduler is None:
        timesteps = torch.tensor(times[:-1], dtype=torch.float32) * TIMESTEPS
        return Steps(new_solver(settings.solver), times, timesteps, settings.num_steps)
    if sigmas is not None and "sigmas" not in inspect.signature(scheduler.set_timesteps).parameters:
        raise SamplingError(
            f"{type(scheduler).__name__} takes no sigmas.", "Leave sigmas out, or set another scheduler."
        )
    solver = SchedulerSolver(scheduler, times[:-1], num_patches, generator, device)
    return Steps(solver, solver.times, solver.timesteps, settings.num_steps)


def checked_sigmas(sigmas: Sequence[float], num_steps: int | None) -> list[float]:
    """Noise levels of a call, in (0, 1] and falling, without the last 0.

    Raises:
        SamplingError: There is none, one is no such number or not below the one before, or `num_steps` is another
            number of steps.
    """
    try:
        levels = [float(sigma) for sigma in sigmas]
    except (TypeError, ValueError) as error:
        raise SamplingError(f"sigmas is {sigmas!r}.", _SIGMAS) from error
    if not levels or levels[0] > 1.0 or not all(later < sooner for sooner, later in pairwise([*levels, 0.0])):
        raise SamplingError(f"sigmas is {[round(level, 4) for level in levels]}.", _SIGMAS)
    if num_steps is not None and num_steps != len(levels):
        raise SamplingError(f"There are {len(levels)} sigmas for {num_steps} steps.", "Leave num_inference_steps out.")
    return levels


def exclusive(scheduler: Any) -> AbstractContextManager[object]:
    """A context in which no other thread uses a scheduler, which holds the state of one run; None needs none.

    Raises:
        SamplingError: It is no flow-match scheduler.
    """
    if scheduler is None:
        return nullcontext()
    check_scheduler(scheduler)
    with _LOCKS_LOCK:
        return _LOCKS.setdefault(scheduler, ReentrantLock())


def check_scheduler(scheduler: Any) -> None:
    """Raise SamplingError for a scheduler that does not integrate a velocity on the straight path."""
    name = type(scheduler).__name__
    if not hasattr(scheduler, "set_timesteps") or not hasattr(scheduler, "config"):
        raise SamplingError(f"{name} is no scheduler of diffusers.", _USE)
    config = scheduler.config
    is_set_to_flow = config.get("prediction_type") == "flow_prediction" and config.get("use_flow_sigmas")
    if not name.startswith("FlowMatch") and not is_set_to_flow:
        raise SamplingError(f"{name} as configured is no flow-match scheduler, which the experts need.", _USE)


def save_scheduler(folder: Path, scheduler: Any) -> None:
    """Write a scheduler's configuration into a complete model's folder; without a scheduler, remove an earlier one.

    Raises:
        SamplingError: It is no flow-match scheduler; nothing is written.
    """
    if scheduler is None:
        (folder / _FOLDER / _FILE).unlink(missing_ok=True)
        return
    check_scheduler(scheduler)
    scheduler.save_pretrained(folder / _FOLDER)
    index = read_json(folder / _INDEX)
    write_json(folder / _INDEX, {**index, "scheduler": ["diffusers", type(scheduler).__name__]})


def load_scheduler(folder: Path) -> Any:
    """The scheduler of a model's folder, or None.

    Raises:
        LayoutError: The file names a class that is no flow-match scheduler of diffusers, or settings it does not take.
    """
    path = folder / _FOLDER / _FILE
    if not path.is_file():
        return None
    fields = read_json(path)
    name = str(fields.get("_class_name"))
    # Only a name that diffusers itself exports as a scheduler: the file may come from anybody.
    known = getattr(diffusers, name, None) if name.endswith("Scheduler") and name.isidentifier() else None
    if not isinstance(known, type) or not issubclass(known, diffusers.SchedulerMixin):
        raise LayoutError(f"{path} names {name!r}, which is no scheduler of diffusers.")
    try:
        scheduler: Any = getattr(diffusers, name).from_config(fields)
        check_scheduler(scheduler)
    except (SamplingError, ValueError, TypeError) as error:
        raise LayoutError(f"{path}: {error}") from error
    return scheduler


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
