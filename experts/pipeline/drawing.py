"""Prompts and noise of a sampling run, and drawing without diffusers and its seconds of import.

Shapes: B rows (one a picture), K experts, C channels, H and W picture, L text tokens, E text width.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, NamedTuple, SupportsIndex, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from paris.experts.errors import SamplingError
from paris.experts.frozen.text import TextEncoder
from paris.experts.models.prompt_router import PromptRouter, prompt_posterior
from paris.experts.sampling.prompts import Prompts
from paris.experts.sampling.sample import (
    Seed,
    Step,
    check_seeds,
    generators_of,
    initial_noise,
    sample,
    seed_of,
    uniforms_of,
)
from paris.experts.sampling.settings import SamplingSettings

if TYPE_CHECKING:
    from paris.experts.release.model import ParisModel

Generators: TypeAlias = SupportsIndex | torch.Generator | Sequence[Seed] | None
"""A seed, of NumPy too, of which row i takes `seed + i`; a seed or generator a row; one generator for all rows, which
then depend on how many they are; or None for fresh noise."""


class Embeds(NamedTuple):
    """Encoded texts in place of the texts themselves."""

    states: Tensor
    """Of the model's text encoder, `[N, L, E]`."""
    mask: Tensor | None = None
    """bool `[N, L]`, True where a token counts; None where all do."""


def texts_of(
    name: str, texts: str | Sequence[str] | None, embeds: Tensor | None, mask: Tensor | None
) -> str | Sequence[str] | Embeds | None:
    """The texts or the embeds of a call, None where neither is given.

    Raises:
        SamplingError: Both are given, a mask without embeds, or texts that are none; `name` is in the message.
    """
    if embeds is not None and texts is not None:
        raise SamplingError(f"{name} and {name}_embeds are both given.", "Give one of them.")
    if embeds is not None:
        return Embeds(embeds, mask)
    if mask is not None:
        raise SamplingError(f"{name}_attention_mask is given without {name}_embeds.", f"Give {name}_embeds too.")
    if texts is None or isinstance(texts, str | Sequence):
        return texts
    raise SamplingError(f"{name} is a {type(texts).__name__}.", "Give a text, or a list of texts.")


def encode_prompts(
    encoder: TextEncoder,
    prompt_router: PromptRouter | None,
    prompts: str | Sequence[str] | Embeds | None,
    *,
    negative: str | Sequence[str] | Embeds | None = None,
    num_images: int = 1,
    is_guided: bool = True,
    device: torch.device | str = "cpu",
) -> Prompts:
    """Encode prompts, each for so many pictures.

    Args:
        encoder: The model's.
        prompt_router: The model's, or None.
        prompts: At least one; None, or the null prompt "" alone, for a model without text.
        negative: What guidance leads away from; one for all, or one a prompt; None is the null prompt.
        num_images: Pictures of each prompt, in neighbouring rows.
        is_guided: False without guidance: no negative prompt is then encoded.
        device: Where the experts are.

    Raises:
        SamplingError: A prompt is no text or is missing, embeds have another shape than the encoder's, the model reads
            no text, there is no picture to draw, or the negative prompts do not fit the prompts.
    """
    if prompts is None and encoder.config.reads_text:
        raise SamplingError("Neither prompt nor prompt_embeds is given.", "The null prompt is ''.")
    if negative is not None:  # also where no guidance would encode it
        check_is_read(encoder, "negative_prompt", negative)
    text, away, posterior = _encoded(encoder, "prompt", "" if prompts is None else prompts), None, None
    if not isinstance(num_images, Integral):
        raise SamplingError(f"num_images_per_prompt is {num_images!r:.80}, which is no whole number.")
    num_images = int(num_images)  # True and integers of NumPy are read as Python reads them
    if not len(text[0]) or num_images < 1:
        raise SamplingError(f"{len(text[0])} prompts of {num_images} pictures each make no picture.")
    is_one = (
        negative is None or isinstance(negative, str) or (isinstance(negative, Embeds) and len(negative.states) == 1)
    )
    if is_guided or not is_one:
        away = _encoded(encoder, "negative_prompt", "" if negative is None else negative)
        if not is_one and len(away[0]) != len(text[0]):
            raise SamplingError(f"There are {len(away[0])} negative prompts for {len(text[0])} prompts.")
    text, away = _repeated(text, num_images), away if away is None or is_one else _repeated(away, num_images)
    away = away if is_guided else None
    if prompt_router is not None:
        null = _encoded(encoder, "prompt", "")
        posterior = prompt_posterior(prompt_router, text, null, away if negative else None).to(device)
    if away is not None:
        text, away = _of_one_length(text, away)
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
        prompts: One a picture; "" for a model without text.
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


def _encoded(encoder: TextEncoder, name: str, texts: str | Sequence[str] | Embeds) -> tuple[Tensor, Tensor]:
    """States `[N, L, E]` and mask `[N, L]`, on the CPU."""
    check_is_read(encoder, name, texts)
    if isinstance(texts, Embeds):
        return _checked_embeds(name, texts, encoder.config.dim)
    rows = [texts] if isinstance(texts, str) else list(texts)
    for row in rows:
        if not isinstance(row, str):
            raise SamplingError(f"{name} holds {row!r:.80}, which is no text.", "The null prompt is ''.")
    return encoder.encode(rows) if rows else (torch.zeros(0, 1, 1), torch.zeros(0, 1, dtype=torch.bool))


def check_is_read(encoder: TextEncoder, name: str, texts: str | Sequence[str] | Embeds) -> None:
    """Raise SamplingError where a model without text is given one; `name` and the text are in the message."""
    if encoder.config.reads_text:
        return
    if isinstance(texts, Embeds):
        raise SamplingError(f"{name}_embeds is given, but this model reads no text.", f"Leave {name}_embeds out.")
    given = [text for text in ([texts] if isinstance(texts, str) else texts) if text]
    if given:
        raise SamplingError(
            f"{name} is {given[0]!r:.80}, but this model was trained without captions and reads no text.",
            f"Leave {name} out.",
        )


def _checked_embeds(name: str, embeds: Embeds, width: int) -> tuple[Tensor, Tensor]:
    states, mask = embeds
    if (
        not isinstance(states, Tensor)
        or states.dim() != 3
        or states.shape[2] != width
        or not states.is_floating_point()
    ):
        shape = f"{states.dtype} {list(states.shape)}" if isinstance(states, Tensor) else type(states).__name__
        raise SamplingError(f"{name}_embeds is {shape}, float32 [N, L, {width}] is needed.")
    if mask is None:
        mask = torch.ones(states.shape[:2], dtype=torch.bool)
    if not isinstance(mask, Tensor) or mask.shape != states.shape[:2] or not mask.bool().any(dim=1).all():
        raise SamplingError(
            f"{name}_attention_mask does not fit {name}_embeds {list(states.shape)}.",
            "Give [N, L], with a token that counts in each row.",
        )
    if not states.isfinite().all():
        raise SamplingError(f"{name}_embeds holds a value that is not finite.")
    return states.detach().float().cpu(), mask.detach().bool().cpu()


def _repeated(text: tuple[Tensor, Tensor], times: int) -> tuple[Tensor, Tensor]:
    return text[0].repeat_interleave(times, dim=0), text[1].repeat_interleave(times, dim=0)


def _of_one_length(
    text: tuple[Tensor, Tensor], away: tuple[Tensor, Tensor]
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Both padded to as many tokens as the longer one has."""
    length = max(text[0].shape[1], away[0].shape[1])

    def padded(states: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        missing = length - states.shape[1]
        return F.pad(states, (0, 0, 0, missing)), F.pad(mask, (0, missing))

    return padded(*text), padded(*away)


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
        return torch.randn(shape, generator=generator, device=generator.device, dtype=torch.float32).to(
            device
        ), generator
    if generator is None:
        generator = [secrets.randbits(63) for _ in range(shape[0])]
    seeds: Sequence[Seed]
    if isinstance(generator, Sequence) or (isinstance(generator, np.ndarray) and generator.ndim):
        seeds = list(generator)
    else:
        first = seed_of(generator)
        seeds = [first + row for row in range(shape[0])]
    check_seeds(seeds, shape[0])
    generators = generators_of(seeds)
    return initial_noise(generators, shape[1:]).to(device), generators


def uniforms_after_noise(generators: torch.Generator | list[torch.Generator], num_rows: int) -> Tensor:
    """What experts are drawn with, from the generators of `initial_latents`: float32 in [0, 1) `[B]`, on the CPU."""
    if isinstance(generators, torch.Generator):
        return torch.rand(num_rows, generator=generators, device=generators.device, dtype=torch.float32).cpu()
    return uniforms_of(generators)
