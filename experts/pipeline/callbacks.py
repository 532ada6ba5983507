"""`callback_on_step_end` of diffusers: called after each step, it may change the latents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from torch import Tensor

from paris.experts.errors import SamplingError

INPUTS = ("latents", "weights")
"""Tensors that a callback may ask for: the pictures after the step, and the experts' weights `[B, K]` in it."""


class Callbacks:
    """One callback of one call, or none; made by `of`."""

    def __init__(self, pipeline: Any, function: Callable[..., Any] | None, inputs: Sequence[str]) -> None:
        self._pipeline, self._function, self._inputs = pipeline, function, tuple(inputs)

    @classmethod
    def of(cls, pipeline: Any, function: Callable[..., Any] | None, inputs: Sequence[str]) -> Self:
        """Check the arguments of a call, before anything is computed.

        Args:
            pipeline: The callback's first argument.
            function: A function, a `PipelineCallback` of diffusers, which brings its own inputs, or None.
            inputs: Names out of `INPUTS`.

        Raises:
            SamplingError: The function cannot be called, or an input is not one of `INPUTS`.
        """
        if isinstance(function, PipelineCallback | MultiPipelineCallbacks):
            inputs = function.tensor_inputs
        if function is not None and not callable(function):
            raise SamplingError(f"callback_on_step_end is a {type(function).__name__}, which cannot be called.")
        if isinstance(inputs, str) or not set(inputs) <= set(INPUTS):
            raise SamplingError(
                f"callback_on_step_end_tensor_inputs is {inputs!r}.", f"Give a list of {', '.join(INPUTS)}."
            )
        return cls(pipeline, function, inputs)

    def __call__(self, step: int, timestep: Tensor, latents: Tensor, weights: Tensor) -> Tensor:
        """Call the callback after a step that began at `timestep`, in [0, 1000].

        Returns:
            The latents to continue from `[B, C, H, W]`: those given, or the callback's.

        Raises:
            SamplingError: The callback returned no dictionary, or latents of another shape.
        """
        if self._function is None:
            return latents
        tensors = {"latents": latents, "weights": weights}
        answer = self._function(self._pipeline, step, timestep, {name: tensors[name] for name in self._inputs})
        if not isinstance(answer, Mapping):
            raise SamplingError(
                f"callback_on_step_end returned a {type(answer).__name__}.",
                "Return a dictionary: the one it was given, or an empty one.",
            )
        unknown = sorted(answer.keys() - set(INPUTS))
        if unknown:
            raise SamplingError(f"callback_on_step_end returned {', '.join(unknown)}.", "Only latents can be changed.")
        replaced = answer.get("latents", latents)
        if not isinstance(replaced, torch.Tensor) or replaced.shape != latents.shape:
            shape = list(replaced.shape) if isinstance(replaced, torch.Tensor) else type(replaced).__name__
            raise SamplingError(f"callback_on_step_end returned latents {shape}, not {list(latents.shape)}.")
        return replaced.to(latents)
