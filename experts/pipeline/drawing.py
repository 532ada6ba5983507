"""From what a caller asks for to what a sampling run needs: prompts, noise.

Shapes: B rows (one a picture), K experts, C channels, H and W picture, L text tokens, E text width.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from paris.experts.errors import SamplingError
from paris.experts.frozen.text import TextEncoder
from paris.experts.models.prompt_router import PromptRouter, PromptSays, asked_of_prompts
from paris.experts.models.router import Router
from paris.experts.pipeline.rules import Rules, rules_of
from paris.experts.sampling.expert_source import ExpertSource
from paris.experts.sampling.field import VelocityField
from paris.experts.sampling.sampler import Step, expert_draws, generators_of, sample
from paris.experts.sampling.text_contexts import Text

if TYPE_CHECKING:
    import numpy as np

    from paris.experts.release.parts import ModelParts

Generators: TypeAlias = int | torch.Generator | Sequence[int | torch.Generator] | None


@dataclass(frozen=True)
class Prompted:
    """Prompts as the experts and the routers see them, one row a picture."""

    states: Tensor
    """`[B, L, E]`"""
    mask: Tensor
    """bool `[B, L]`"""
    negative: Text | None
    """States and mask to be led away from, one row or B; None without guidance."""
    says: PromptSays | None
    """What they say of the experts; None without a prompt router."""


def read_prompts(
    encoder: TextEncoder,
    prompt_router: PromptRouter | None,
    prompts: Sequence[str],
    *,
    negative: str | Sequence[str] | None = None,
    num_images: int = 1,
    is_guided: bool = True,
    device: torch.device | str = "cpu",
) -> Prompted:
    """Encode prompts, each for so many pictures.

    Args:
        encoder: The model's.
        prompt_router: The model's, or None.
        prompts: At least one.
        negative: To be led away from; one for all, or one a prompt; None is the null prompt.
        num_images: Pictures of each prompt; they stand together.
        is_guided: False where there is no guidance: no negative prompt is then encoded.
        device: Where the experts are.

    Raises:
        SamplingError: No picture is asked for, or the negative prompts do not fit the prompts.
    """
    if not prompts or num_images < 1:
        raise SamplingError(f"{len(prompts)} prompts of {num_images} pictures each make no picture.")
    if negative is not None and not isinstance(negative, str) and len(negative) != len(prompts):
        raise SamplingError(f"There are {len(negative)} negative prompts for {len(prompts)} prompts.")

    def encoded(texts: Sequence[str], each: int = 1) -> tuple[Tensor, Tensor]:
        states, mask = encoder.encode(list(texts))
        return states.repeat_interleave(each, dim=0), mask.repeat_interleave(each, dim=0)

    text, away, says = encoded(prompts, num_images), None, None
    if is_guided:
        away = (
            encoded([negative or ""])
            if negative is None or isinstance(negative, str)
            else encoded(negative, num_images)
        )
    if prompt_router is not None:
        asked = asked_of_prompts(prompt_router, text, encoded([""]), away if negative else None)
        says = PromptSays(*(part if part is None else part.to(device) for part in asked))
    if away is not None:
        away = (away[0].to(device), away[1].to(device))
    return Prompted(text[0].to(device), text[1].to(device), away, says)


def field_of(
    experts: ExpertSource, router: Router, text: Prompted, rules: Rules, draws: Tensor | None = None
) -> VelocityField:
    """The velocity that a model gives these prompts under these rules, for one sampling run.

    Args:
        experts: The model's.
        router: The model's.
        text: From `read_prompts`.
        rules: From `rules_of`.
        draws: See `VelocityField`.
    """
    return VelocityField(
        experts,
        router,
        text.states,
        text.mask,
        negative=text.negative,
        prompt=text.says,
        guidance=rules.guidance,
        routing=rules.routing,
        draws=draws,
    )


def initial_latents(
    generator: Generators, shape: tuple[int, int, int, int], device: torch.device | str = "cpu"
) -> tuple[Tensor, torch.Generator | list[torch.Generator]]:
    """Standard normal noise, and what a stochastic sampler draws on from there.

    A torch.Generator gives what it gives to every pipeline of diffusers; a seed what it gives to `sample`.

    Args:
        generator: A seed, of which row i takes `seed + i`; a seed or generator a row; one generator for all rows, which
            then depend on how many they are; or None for fresh noise.
        shape: `(B, C, H, W)`.
        device: Where to put it. It is drawn where the generators are: a seed means the same on every device.

    Returns:
        float32 `[B, C, H, W]`; one generator, or a list of B.

    Raises:
        SamplingError: There is not one generator a row.
    """
    if isinstance(generator, torch.Generator):
        return torch.randn(shape, generator=generator, device=generator.device).to(device), generator
    if generator is None:
        generator = [secrets.randbits(63) for _ in range(shape[0])]
    seeds = [generator + row for row in range(shape[0])] if isinstance(generator, int) else list(generator)
    if len(seeds) != shape[0]:
        raise SamplingError(f"There are {len(seeds)} seeds for {shape[0]} rows of text.", "Give one seed a picture.")
    each = generators_of(seeds)
    rows = [torch.randn((1, *shape[1:]), generator=one, device=one.device).to(device) for one in each]
    return torch.cat(rows), each


def draws_of(generators: torch.Generator | list[torch.Generator], num_rows: int) -> Tensor:
    """What a run draws experts with, from the generators that the noise came from, after it.

    Args:
        generators: One for all rows, or one a row.
        num_rows: B.

    Returns:
        Uniform float32 in [0, 1) `[B]`, on the CPU.
    """
    if isinstance(generators, torch.Generator):
        return torch.rand(num_rows, generator=generators, device=generators.device).cpu()
    return expert_draws(generators)


def draw(
    parts: ModelParts,
    prompts: Sequence[str],
    seeds: Sequence[int],
    rules: Rules | None = None,
    *,
    negative: str | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> np.ndarray:
    """Pictures of a model, without diffusers and its seconds of import.

    Args:
        parts: The model.
        prompts: One a picture.
        seeds: One a picture; the same as in `ParisPipeline`.
        rules: None: as the model says of itself.
        negative: To be led away from; None is the null prompt.
        on_step: Told after each step.

    Returns:
        uint8 `[B, Hp, Wp, 3]`.

    Raises:
        SamplingError: There is no prompt, or not one seed a prompt.
    """
    rules = rules or rules_of(parts.layout.sampling)
    is_guided = rules.guidance.scale != 1.0
    text = read_prompts(
        parts.text_encoder,
        parts.prompt_router,
        prompts,
        negative=negative,
        is_guided=is_guided,
        device=parts.device,
    )
    made = sample(
        parts.experts,
        parts.router,
        text.states,
        text.mask,
        seeds=seeds,
        negative=text.negative,
        prompt=text.says,
        on_step=on_step,
        **rules._asdict(),
    )
    return parts.codec.decode(made)
