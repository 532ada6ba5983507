"""Prompts in, pictures out: a whole model from a folder or a Hub repo, as a pipeline of diffusers.

pipeline = ParisPipeline.from_pretrained("org/model")
pipeline("a cozy cabin", generator=0).images[0].save("cabin.png")

Importing this imports diffusers, which takes seconds; `parts.py` and `drawing.py` do without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.utils import BaseOutput
from torch import Tensor, nn

from paris.experts.errors import LayoutError, SamplingError
from paris.experts.frozen.codec import Codec
from paris.experts.frozen.text import TextEncoder
from paris.experts.models.prompt_router import PromptRouter
from paris.experts.models.router import Router
from paris.experts.pipeline.callbacks import Callbacks
from paris.experts.pipeline.drawing import (
    Generators,
    draws_of,
    field_of,
    initial_latents,
    read_prompts,
)
from paris.experts.pipeline.files import StoredPipeline
from paris.experts.pipeline.output import as_output, check_output_type
from paris.experts.pipeline.rules import Rules, rules_of
from paris.experts.pipeline.steps import SchedulerSteps, SolverSteps, Steps
from paris.experts.release.parts import Experts
from paris.experts.release.residency import ExpertBank
from paris.experts.sampling.field import VelocityField, draws_experts, picture_shape
from paris.experts.sampling.routing import Routing
from paris.experts.sampling.settings import SamplingSettings, usual_sampling
from paris.experts.sampling.solvers import flow_times
from paris.experts.sampling.trace import RoutingTrace, TraceRecorder


@dataclass
class ParisPipelineOutput(BaseOutput):
    """What a call returns."""

    images: Any
    """Pictures in the order of the prompts, each prompt's together: PIL images; float32 `[B, H, W, 3]` in [0, 1] for
    "np"; float32 `[B, 3, H, W]` in [0, 1] for "pt"; the model's own float32 `[B, C, H, W]` for "latent"."""
    routing: RoutingTrace | None = None
    """Which expert drew which picture, when, and how much it counted; where it was asked for."""


class ParisPipeline(StoredPipeline):
    """A router, its experts, their text encoder and codec.

    With `scheduler` set to a flow-match scheduler of diffusers, that one makes the steps; without, a solver of ours.

    Args:
        experts: All, in order, as `as_velocity` makes them of any objective; or a bank of them.
        router: Chooses among them.
        text_encoder: From prompts to states.
        codec: From what the experts make to pictures.
        prompt_router: Which expert a prompt belongs to; None where the noisy picture alone decides.
        scheduler: Of diffusers; None for the solver that the settings name.
        sampling: What a call uses where nothing else is asked for; settings, or their fields. None: see
            `usual_sampling`.
        name: What the model is called.
        dataset_name: What it was trained on.

    Raises:
        LayoutError: The router is for another number of experts.
    """

    _optional_components = ["prompt_router", "scheduler"]  # noqa: RUF012 - as the base class has it
    _callback_tensor_inputs = ("latents", "weights")

    def __init__(
        self,
        experts: Sequence[nn.Module] | Experts | ExpertBank,
        router: Router,
        text_encoder: TextEncoder,
        codec: Codec,
        prompt_router: PromptRouter | None = None,
        scheduler: Any = None,
        sampling: SamplingSettings | Mapping[str, Any] | None = None,
        name: str = "Paris",
        dataset_name: str = "",
    ) -> None:
        super().__init__()
        experts = Experts(experts) if isinstance(experts, Sequence) else experts
        _check_count(experts, router)
        usual = usual_sampling(has_prompt_router=prompt_router is not None)
        fields = sampling if isinstance(sampling, Mapping) else (sampling or usual).to_settings()
        self.register_modules(
            experts=experts,
            router=router,
            text_encoder=text_encoder,
            codec=codec,
            prompt_router=prompt_router,
            scheduler=scheduler,
        )
        self.register_to_config(sampling=dict(fields), name=name, dataset_name=dataset_name)
        self._interrupt = False
        self._num_timesteps = 0
        self._guidance_scale = self.sampling.guidance_scale

    @property
    def sampling(self) -> SamplingSettings:
        """What a call uses where nothing else is asked for."""
        return SamplingSettings.from_settings(self.config.sampling)

    @sampling.setter
    def sampling(self, settings: SamplingSettings) -> None:
        self.register_to_config(sampling=settings.to_settings())

    @property
    def guidance_scale(self) -> float:
        """That of the present or last call."""
        return self._guidance_scale

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether the present or last call is guided."""
        return self._guidance_scale != 1.0

    @property
    def num_timesteps(self) -> int:
        """Steps of the present or last call."""
        return self._num_timesteps

    @property
    def interrupt(self) -> bool:
        """Set it from a callback to end the call after this step: its pictures are then what is there."""
        return self._interrupt

    @interrupt.setter
    def interrupt(self, value: bool) -> None:
        self._interrupt = value

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        negative_prompt: str | Sequence[str] | None = None,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callable[[Any, int, Any, dict[str, Any]], Mapping[str, Any]] | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        routing: str | Routing | None = None,
        max_experts: int | None = None,
        routing_threshold: float | None = None,
        solver: str | None = None,
        sampling: SamplingSettings | None = None,
        return_routing: bool = False,
    ) -> ParisPipelineOutput | tuple[Any, ...]:
        """Draw pictures.

        Args:
            prompt: One text or several.
            num_inference_steps: Steps from noise to picture; None, here and below: as the model says.
            guidance_scale: How much more the text counts than it does by itself; 1 is no guidance.
            negative_prompt: To be led away from; one for all, or one a prompt. None: the null prompt.
            num_images_per_prompt: Pictures of each prompt.
            generator: A seed, of which picture i takes `seed + i`; a seed or generator a picture; one generator for
                all; or None for fresh pictures.
            latents: Noise to start from `[B, C, H, W]`; the generator is then not drawn from.
            output_type: "pil", "np", "pt" or "latent".
            return_dict: False for a plain tuple: the images, and the trace where it is asked for.
            callback_on_step_end: Called after each step as `f(pipeline, step, timestep, tensors)`, timestep being that
                at which the step began, in [0, 1000]; returns a dictionary, whose "latents" are gone on from.
            callback_on_step_end_tensor_inputs: What `tensors` holds, of "latents" and "weights" `[B, K]`.
            routing: "top1", "top2" and so on, "full", "threshold", "ancestral", or a `Routing`.
            max_experts: Experts a picture uses at most at a step, in place of the routing's.
            routing_threshold: Experts less probable than this are left out, in place of the routing's.
            solver: A name of `solvers.SOLVERS`; only without a scheduler.
            sampling: Settings in place of the model's own; what is given above goes before them.
            return_routing: Say which expert drew what.

        Raises:
            SamplingError: An argument is unknown, out of range, or does not fit the others.
            SettingsError: A number is out of range.
        """
        check_output_type(output_type)
        callbacks = Callbacks.of(self, callback_on_step_end, callback_on_step_end_tensor_inputs)
        if solver is not None and self.scheduler is not None:
            raise SamplingError(f"A scheduler is set, so solver {solver!r} would not be used.", "Set scheduler = None.")
        rules = rules_of(
            sampling or self.sampling,
            num_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            routing=routing,
            max_experts=max_experts,
            routing_threshold=routing_threshold,
            solver=solver,
        )
        self._guidance_scale = rules.guidance.scale
        text = read_prompts(
            self.text_encoder,
            self.prompt_router,
            [prompt] if isinstance(prompt, str) else list(prompt),
            negative=negative_prompt,
            num_images=num_images_per_prompt,
            is_guided=self.do_classifier_free_guidance,
            device=self.device,
        )
        x, generators = self._noise(len(text.states), generator, latents)
        draws = draws_of(generators, len(x)) if draws_experts(rules.guidance, rules.routing) else None
        field = field_of(self.experts, self.router, text, rules, draws)
        made, trace = self._run(self._steps(field, rules, generators), x, callbacks, TraceRecorder(field.numbers))
        images = made if output_type == "latent" else as_output(self.codec.decode(made), output_type)
        routed = trace.trace() if return_routing else None
        if not return_dict:
            return (images,) if routed is None else (images, routed)
        return ParisPipelineOutput(images=images, routing=routed)

    def _noise(
        self, num_rows: int, generator: Generators, latents: Tensor | None
    ) -> tuple[Tensor, torch.Generator | list[torch.Generator]]:
        shape = (num_rows, *picture_shape(self.experts))
        drawn, generators = initial_latents(generator, shape, self.device)
        if latents is None:
            return drawn, generators
        if tuple(latents.shape) != shape:
            raise SamplingError(f"The latents have shape {list(latents.shape)}, {list(shape)} is needed.")
        return latents.to(self.device, torch.float32), generators

    def _steps(self, field: VelocityField, rules: Rules, generators: torch.Generator | list[torch.Generator]) -> Steps:
        times = flow_times(rules.num_steps, rules.time_shift)
        if self.scheduler is None:
            return SolverSteps(field, rules.solver, times)
        num_patches = self.experts[field.numbers[0]].config.num_patches
        return SchedulerSteps(field, self.scheduler, times[:-1], num_patches, generators, self.device)

    def _run(self, steps: Steps, x: Tensor, callbacks: Callbacks, trace: TraceRecorder) -> tuple[Tensor, TraceRecorder]:
        self._interrupt, self._num_timesteps, shown = False, len(steps.timesteps), 0
        times = (steps.timesteps / 1000.0).tolist()
        with self.progress_bar(total=steps.num_steps) as bar:
            for number, t in enumerate(times):
                x, weights = steps.step(number, x)
                trace.add(t, weights)
                x = callbacks(number, steps.timesteps[number], x, weights)
                done = (number + 1) * steps.num_steps // len(times)
                bar.update(done - shown)
                shown = done
                if self._interrupt:
                    break
        return x, trace


def _check_count(experts: Experts | ExpertBank, router: Router) -> None:
    config = getattr(router, "config", None)
    if config is not None and config.num_clusters != len(experts):
        raise LayoutError(f"The router knows {config.num_clusters} experts, there are {len(experts)}.")
