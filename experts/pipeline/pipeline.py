"""Prompts in, pictures out: a whole model from a folder or a Hub repo, as a pipeline of diffusers.

    pipeline = ParisPipeline.from_pretrained("org/model")
    pipeline("a cozy cabin", generator=0).images[0].save("cabin.png")

A model that was trained without captions takes no prompt: `pipeline(num_images_per_prompt=4)`.

Importing this imports diffusers, which takes seconds; `release/model.py` and `drawing.py` do without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from paris.experts.errors import LayoutError, SamplingError
from paris.experts.frozen.codec import Codec
from paris.experts.frozen.text import TextEncoder
from paris.experts.locks import ReentrantLock
from paris.experts.models.prompt_router import PromptRouter
from paris.experts.models.router import Router
from paris.experts.pipeline.callbacks import Callbacks
from paris.experts.pipeline.drawing import (
    Embeds,
    Generators,
    check_is_read,
    encode_prompts,
    initial_latents,
    texts_of,
    uniforms_after_noise,
)
from paris.experts.pipeline.loading import LoadArguments, loaded_dtype
from paris.experts.pipeline.output import ParisPipelineOutput, as_output, check_output_type
from paris.experts.pipeline.placement import PlacedPipeline
from paris.experts.pipeline.schedulers import (
    TIMESTEPS,
    Steps,
    checked_sigmas,
    exclusive,
    load_scheduler,
    save_scheduler,
    steps_of,
)
from paris.experts.release.bank import Keep
from paris.experts.release.model import ExpertList, ModelExperts, ParisModel, load_model, local_folder, save_model
from paris.experts.sampling.experts import Ensemble
from paris.experts.sampling.field import VelocityField
from paris.experts.sampling.prompts import Prompts
from paris.experts.sampling.routing import Routing
from paris.experts.sampling.sample import check_latents, integrate
from paris.experts.sampling.settings import SamplingSettings, default_sampling
from paris.experts.sampling.trace import TraceRecorder


class ParisPipeline(PlacedPipeline):
    """A router, its experts, their text encoder and codec.

    With `scheduler` set to a flow-match scheduler of diffusers, that one makes the steps; without, a solver of ours.
    Experts and router move and change their dtype together; text encoder and VAE move with them and stay in float32,
    the prompt router stays on the CPU.

    Threads may share a pipeline, or its parts in several pipelines: a call waits for the one before. Copies and pickled
    pipelines have weights of their own.

    Args:
        experts: All, in order, as `as_velocity` makes them of any objective; or a bank of them.
        router: Chooses among them.
        text_encoder: From prompts to states.
        codec: From latents to pictures.
        prompt_router: p(k | prompt); None where the noisy picture alone decides.
        scheduler: Of diffusers; None for the solver that the settings name.
        sampling: What a call uses by default; settings, or their fields on disk. None: see `default_sampling`.
        name: What the model is called.
        dataset_name: What it was trained on.

    Raises:
        LayoutError: The router is for another number of experts.
    """

    _optional_components = ["prompt_router", "scheduler"]  # noqa: RUF012 - as the base class has it
    _callback_tensor_inputs = ("latents", "weights")

    def __init__(
        self,
        experts: Sequence[nn.Module] | ModelExperts,
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
        self._lock = ReentrantLock()
        experts = ExpertList(experts) if isinstance(experts, Sequence) else experts
        _check_count(experts, router)
        reads_text = text_encoder.config.reads_text
        default = default_sampling(has_prompt_router=prompt_router is not None, reads_text=reads_text)
        fields = sampling if isinstance(sampling, Mapping) else (sampling or default).to_settings()
        self.register_modules(
            experts=experts,
            router=router,
            text_encoder=text_encoder,
            codec=codec,
            prompt_router=prompt_router,
            scheduler=scheduler,
        )
        self.register_to_config(sampling=dict(fields), name=name, dataset_name=dataset_name)
        self.guidance_scale = self.sampling.guidance.scale
        self.num_timesteps = 0
        """Steps of the present or last call."""
        self.interrupt = False
        """Set it from a callback to end the call after this step, with the pictures as they then are."""

    @classmethod
    def from_pretrained(
        cls,
        path_or_repo: str | Path,
        revision: str | None = None,
        endpoint: str | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | str | None = None,
        *,
        torch_dtype: torch.dtype | str | None = None,
        max_resident_experts: int | None = None,
        keep: Keep | None = None,
        **others: Any,
    ) -> Self:
        """Load a model in the published layout. Only JSON, text and safetensors are read; nothing is executed.

        Args:
            path_or_repo: A folder, or a Hub repo such as `org/model`.
            revision: Branch, tag or commit of the repo; None for its main branch.
            endpoint: URL of another Hub than the public one.
            device: None for a GPU where there is one.
            dtype: What experts and router compute in, or its name; "auto": what the experts' files hold; None:
                float32. Text encoder and VAE compute in float32.
            torch_dtype: The same under its older name.
            max_resident_experts: How many experts of one size are on the device at once, the others being fetched while
                one computes; None: all.
            keep: Where the others wait, "memory" or "disk"; see `ExpertBank.open`.
            others: Parts in place of the model's own, such as `scheduler=`; `device_map`, the device's other name; for
                the Hub: token, cache_dir, local_files_only, force_download.

        Raises:
            ExpertError: As `local_folder` and `load_model`.
            SettingsError: An argument is unknown, or out of range; the message names it.
        """
        given = LoadArguments.of(others, device)
        folder = local_folder(path_or_repo, revision, endpoint, **given.download)
        model = load_model(
            folder,
            device=given.device,
            dtype=loaded_dtype(folder, dtype, torch_dtype),
            max_resident_experts=max_resident_experts,
            keep=keep,
        )
        scheduler = {} if "scheduler" in given.parts else {"scheduler": load_scheduler(folder)}
        pipeline = cls(**{**vars(model), **scheduler, **given.parts})
        pipeline.register_to_config(_name_or_path=str(path_or_repo))
        return pipeline

    def save_pretrained(
        self, save_directory: str | Path, safe_serialization: bool = True, variant: str | None = None
    ) -> None:
        """Write the model in the published layout: `from_pretrained` loads the same model.

        Args:
            save_directory: Where to; made where it does not exist.
            safe_serialization: True alone; nothing is ever pickled.
            variant: None alone.

        Raises:
            ExpertError: As `save_model`.
            SamplingError: Another form than safetensors is asked for.
        """
        if not safe_serialization or variant is not None:
            raise SamplingError("A model is written as plain safetensors.", "Leave safe_serialization and variant out.")
        folder = Path(save_directory)
        parts = {name: part for name, part in self.components.items() if name != "scheduler"}
        name, dataset_name = self.config.name, self.config.dataset_name
        save_model(folder, ParisModel(**parts, sampling=self.sampling, name=name, dataset_name=dataset_name))
        save_scheduler(folder, self.scheduler)

    @property
    def sampling(self) -> SamplingSettings:
        """What a call uses by default."""
        return SamplingSettings.from_settings(self.config.sampling)

    @sampling.setter
    def sampling(self, settings: SamplingSettings) -> None:
        self.register_to_config(sampling=settings.to_settings())

    @property
    def guidance_scale(self) -> float:
        """That of the present or last call. Set it from a callback to change the steps that follow; 1 and 0 end
        guidance, which must have been on when the call began.
        """
        return self._guidance_scale

    @guidance_scale.setter
    def guidance_scale(self, scale: float) -> None:
        self._guidance_scale = scale

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether the present or last call is guided."""
        return self.guidance_scale != 1.0

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
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
        sigmas: Sequence[float] | None = None,
        prompt_embeds: Tensor | None = None,
        prompt_attention_mask: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        negative_prompt_attention_mask: Tensor | None = None,
        routing: str | Routing | None = None,
        max_experts: int | None = None,
        routing_threshold: float | None = None,
        solver: str | None = None,
        sampling: SamplingSettings | None = None,
        return_routing: bool = False,
    ) -> ParisPipelineOutput | tuple[Any, ...]:
        """Draw pictures.

        Args:
            prompt: One text or several; the null prompt is "". None for a model without text, and for `prompt_embeds`.
            num_inference_steps: Steps from noise to picture; None, here and below: as the model says.
            guidance_scale: How much more the text counts than it does by itself; 1 is no guidance.
            negative_prompt: What guidance leads away from; one for all, or one a prompt. None: the null prompt.
            num_images_per_prompt: Pictures of each prompt; without text, of the call.
            generator: A seed, of which picture i takes `seed + i`; a seed or generator a picture; one generator for
                all; or None for new pictures.
            latents: Noise to start from `[B, C, H, W]`; the generator is then not drawn from.
            output_type: "pil", "np", "pt" or "latent".
            return_dict: False for a plain tuple: the images, and the trace where it is asked for.
            callback_on_step_end: Called after each step as `f(pipeline, step, timestep, tensors)`, with the timestep
                at which the step began, in [0, 1000]; returns a dictionary, whose "latents" replace the run's. It may
                set `guidance_scale` and `interrupt` of the pipeline.
            callback_on_step_end_tensor_inputs: What `tensors` holds, of "latents" and "weights" `[B, K]`.
            sigmas: Noise levels of the steps in (0, 1], falling, without the last 0; in place of the number of steps.
            prompt_embeds: States in place of prompts, `[N, L, E]`, as `encode_prompt` gives them.
            prompt_attention_mask: Which of their tokens count, `[N, L]`; None: all.
            negative_prompt_embeds: In place of negative prompts, `[1 or N, L, E]`.
            negative_prompt_attention_mask: Which of their tokens count.
            routing: "top1", "top2" and so on, "full", "threshold", "ancestral", or a `Routing`.
            max_experts: Experts a picture uses at most at a step, in place of the routing's.
            routing_threshold: Experts less probable than this are left out, in place of the routing's.
            solver: A name of `solvers.SOLVERS`; without a scheduler alone.
            sampling: Settings in place of the model's own; the arguments above go before them.
            return_routing: Return which expert made which picture.

        Raises:
            SamplingError: An argument is unknown, out of range, or does not fit the others or the model.
            SettingsError: A number is out of range.
        """
        check_output_type(output_type)
        callbacks = Callbacks.of(self, callback_on_step_end, callback_on_step_end_tensor_inputs)
        if solver is not None and self.scheduler is not None:
            raise SamplingError(f"A scheduler is set, so solver {solver!r} would not be used.", "Set scheduler = None.")
        levels = None if sigmas is None else checked_sigmas(sigmas, num_inference_steps)
        settings = (sampling or self.sampling).with_overrides(
            num_steps=num_inference_steps if levels is None else len(levels),
            guidance_scale=guidance_scale,
            routing=routing,
            max_experts=max_experts,
            routing_threshold=routing_threshold,
            solver=solver,
        )
        texts = texts_of("prompt", prompt, prompt_embeds, prompt_attention_mask)
        away = texts_of("negative_prompt", negative_prompt, negative_prompt_embeds, negative_prompt_attention_mask)
        with self._lock, self.experts.exclusive(), exclusive(self.scheduler):
            self.guidance_scale = settings.guidance.scale
            prompts = self._encode(texts, away, num_images_per_prompt, settings)
            x, trace = self._draw(prompts, settings, generator, latents, levels, callbacks)
            images = x if output_type == "latent" else as_output(self.codec.decode(x), output_type)
        made = ParisPipelineOutput(images=images, routing=trace.trace() if return_routing else None)
        return made if return_dict else made.to_tuple()

    def encode_prompt(self, prompt: str | Sequence[str]) -> tuple[Tensor, Tensor]:
        """What a call takes as `prompt_embeds` and `prompt_attention_mask`.

        Args:
            prompt: N texts.

        Returns:
            States float32 `[N, L, E]` and mask bool `[N, L]`, True where a token counts; on the CPU.

        Raises:
            SamplingError: The model reads no text.
        """
        check_is_read(self.text_encoder, "prompt", prompt)
        return self.text_encoder.encode([prompt] if isinstance(prompt, str) else list(prompt))

    def _encode(
        self,
        texts: str | Sequence[str] | Embeds | None,
        negative: str | Sequence[str] | Embeds | None,
        num_images: int,
        settings: SamplingSettings,
    ) -> Prompts:
        """See `encode_prompts`."""
        return encode_prompts(
            self.text_encoder,
            self.prompt_router,
            texts,
            negative=negative,
            num_images=num_images,
            is_guided=settings.guidance.is_on,
            device=self.device,
        )

    def _draw(
        self,
        prompts: Prompts,
        settings: SamplingSettings,
        generator: Generators,
        latents: Tensor | None,
        sigmas: Sequence[float] | None,
        callbacks: Callbacks,
    ) -> tuple[Tensor, TraceRecorder]:
        """The pictures `[B, C, H, W]`, and which expert made them."""
        shape = (len(prompts), *self.experts.picture_shape)
        noise, generators = initial_latents(generator, shape, self.device)
        x = noise if latents is None else check_latents(latents, shape).to(self.device, torch.float32)
        uniforms = uniforms_after_noise(generators, len(x)) if settings.needs_uniforms else None
        model = Ensemble(self.experts, self.router)
        field = VelocityField(model, prompts, settings.guidance, settings.routing, uniforms)
        trace = TraceRecorder(field.numbers)
        steps = steps_of(self.scheduler, settings, self.experts.config.num_patches, generators, self.device, sigmas)
        return self._integrate(field, x, steps, callbacks, trace), trace

    def _integrate(
        self, field: VelocityField, x: Tensor, steps: Steps, callbacks: Callbacks, trace: TraceRecorder
    ) -> Tensor:
        """The pictures at the end, or after the step in which a callback has set `interrupt`."""
        starts = (steps.timesteps / TIMESTEPS).tolist()
        self.interrupt, self.num_timesteps, shown = False, len(starts), 0
        with self.progress_bar(total=steps.num_steps) as bar:
            for step in integrate(field, x, steps.times, steps.solver):
                trace.add(starts[step.number], step.weights)
                x = step.x = callbacks(step.number, steps.timesteps[step.number], step.x, step.weights)
                if self.guidance_scale != field.guidance_scale:
                    # Callbacks of diffusers set 0 to end guidance.
                    field.guidance_scale = self.guidance_scale or 1.0
                # A scheduler of second order makes two evaluations a step.
                done = (step.number + 1) * steps.num_steps // len(starts)
                bar.update(done - shown)
                shown = done
                if self.interrupt:
                    break
        return x


def _check_count(experts: ModelExperts, router: Router) -> None:
    config = getattr(router, "config", None)
    if config is not None and config.num_clusters != len(experts):
        raise LayoutError(f"The router knows {config.num_clusters} experts, there are {len(experts)}.")
