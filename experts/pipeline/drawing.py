"""Prompts and noise of a sampling run, and drawing without diffusers and its seconds of import.

Shapes: B rows (one a picture), K experts, C channels, H and W picture, L text tokens, E text width.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from paris.experts.errors import SamplingError
from paris.experts.frozen.text import TextEncoder
from paris.experts.models.prompt_router import PromptRouter, prompt_posterior
from paris.experts.sampling.prompts import Prompts
from paris.experts.sampling.sample import (
    Step,
    check_seeds,
    generators_of,
    initial_noise,
    sample,
    uniforms_of,
)
from paris.experts.sampling.settings import SamplingSettings

if TYPE_CHECKING:
    import numpy as np

    from paris.experts.release.model import ParisModel

Generators: TypeAlias = int | torch.Generator | Sequence[int | torch.Generator] | None
"""A seed, of which row i takes `seed + i`; a seed or generator a row; one generator for all rows, which then depend on
how many they are; or None for fresh noise."""


def encode_prompts(
    encoder: TextEncoder,
    prompt_router: PromptRouter | None,
    prompts: Sequence[str],
    *,
    negative: str | Sequence[str] | None = None,
    num_images: int = 1,
    is_guided: bool = True,
    device: torch.device | str = "cpu",
) -> Prompts:
    """Encode prompts, each for so many pictures.

    Args:
        encoder: The model's.
        prompt_router: The model's, or None.
        prompts: At least one.
        negative: What guidance leads away from; one for all, or one a prompt; None is the null prompt.
        num_images: Pictures of each prompt, in neighbouring rows.
        is_guided: False without guidance: no negative prompt is then encoded.
        device: Where the experts are.

    Raises:
        SamplingError: There is no picture to draw, or the negative prompts do not fit the prompts.
    """
    if not prompts or num_images < 1:
        raise SamplingError(f"{len(prompts)} prompts of {num_images} pictures each make no picture.")
    if negative is not None and not isinstance(negative, str) and len(negative) != len(prompts):
        raise SamplingError(f"There are {len(negative)} negative prompts for {len(prompts)} prompts.")

    def encoded(texts: Sequence[str], each: int = 1) -> tuple[Tensor, Tensor]:
        states, mask = encoder.encode(list(texts))
        return states.repeat_interleave(each, dim=0), mask.repeat_interleave(each, dim=0)

    text, away, posterior = encoded(prompts, num_images), None, None
    if is_guided:
        if negative is None or isinstance(negative, str):
            away = encoded([negative or ""])
        else:
            away = encoded(negative, num_images)
    if prompt_router is not None:
        posterior = prompt_posterior(prompt_router, text, encoded([""]), away if negative else None).to(device)
    if away is not None:
        away = (away[0].to(device), away[1].to(device))
    return Prompts(text[0].to(device), text[1].to(device), away, posterior)


def draw(
    model: ParisModel,
    prompts: Sequence[str],
    seeds: Sequence[int],
    settings: SamplingSettings | None = None,
    *,
    negative: str | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> np.ndarray:
    """Draw the pictures that `ParisPipeline` draws from the same seeds.

    Args:
        model: The model.
        prompts: One a picture.
        seeds: One a picture.
        settings: None: the model's own.
        negative: What guidance leads away from; None is the null prompt.
        on_step: Called after each step.

    Returns:
        uint8 `[B, Hp, Wp, 3]`.

    Raises:
        SamplingError: There is no prompt, or not one seed a prompt.
    """
    settings = settings or model.sampling
    encoded = encode_prompts(
        model.text_encoder,
        model.prompt_router,
        prompts,
        negative=negative,
        is_guided=settings.guidance.is_on,
        device=model.device,
    )
    return model.codec.decode(sample(model.ensemble, encoded, seeds, settings, on_step=on_step))


def initial_latents(
    generator: Generators, shape: tuple[int, ...], device: torch.device | str = "cpu"
) -> tuple[Tensor, torch.Generator | list[torch.Generator]]:
    """Standard normal noise of shape `(B, C, H, W)`, and the generators that later draws of the run come from.

    A torch.Generator gives what it gives to every pipeline of diffusers; a seed what it gives to `sample`. Noise is
    drawn where the generators are, and then moved: a seed means the same on every device.

    Raises:
        SamplingError: There is not one generator a row.
    """
    if isinstance(generator, torch.Generator):
        return torch.randn(shape, generator=generator, device=generator.device).to(device), generator
    if generator is None:
        generator = [secrets.randbits(63) for _ in range(shape[0])]
    seeds = [generator + row for row in range(shape[0])] if isinstance(generator, int) else list(generator)
    check_seeds(seeds, shape[0])
    generators = generators_of(seeds)
    return initial_noise(generators, shape[1:]).to(device), generators


def uniforms_after_noise(generators: torch.Generator | list[torch.Generator], num_rows: int) -> Tensor:
    """What experts are drawn with, from the generators of `initial_latents`: float32 in [0, 1) `[B]`, on the CPU."""
    if isinstance(generators, torch.Generator):
        return torch.rand(num_rows, generator=generators, device=generators.device).cpu()
    return uniforms_of(generators)
