"""Prompts in, pictures out: a whole model from a folder or a Hub repo.

pipeline = ParisPipeline.from_pretrained("org/model")
pipeline("a cozy cabin", generator=0).images[0].save("cabin.png")
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from paris.experts.codec import Codec, load_codec
from paris.experts.errors import LayoutError, SamplingError
from paris.experts.layout import load_expert, load_prompt_part, load_router, read_layout
from paris.experts.layout_fields import Layout
from paris.experts.model import DiTExpert
from paris.experts.prompt_router import PromptRouter, combine_with_prompt
from paris.experts.router import Router
from paris.experts.sampler import Step, sample
from paris.experts.sampling_settings import SamplingSettings
from paris.experts.text import TextEncoder, load_text_encoder

if TYPE_CHECKING:
    from PIL.Image import Image

_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]
OUTPUT_TYPES = ("pil", "np", "pt")


@dataclass(frozen=True)
class ParisPipelineOutput:
    """What a call returns."""

    images: list[Image] | np.ndarray | Tensor
    """Pictures in the order of the prompts, each prompt's together: PIL images; float32 `[B, H, W, 3]` in [0, 1] for
    "np"; float32 `[B, 3, H, W]` in [0, 1] for "pt"."""


class ParisPipeline:
    """A router, its experts, their text encoder and codec.

    Args:
        experts: All, in order.
        router: Chooses among them.
        text_encoder: From prompts to states.
        codec: From what the experts make to pictures.
        device: Where experts and router are.
        prompt_router: Which expert a prompt belongs to; None where the noisy picture alone decides.
        sampling: What a call uses where nothing else is asked for.
    """

    def __init__(
        self,
        experts: Sequence[DiTExpert],
        router: Router,
        text_encoder: TextEncoder,
        codec: Codec,
        device: torch.device | str = "cpu",
        prompt_router: PromptRouter | None = None,
        sampling: SamplingSettings | None = None,
    ) -> None:
        self.sampling = sampling or SamplingSettings()
        self.prompt_router = prompt_router
        self.experts = list(experts)
        self.router = router
        self.text_encoder = text_encoder
        self.codec = codec
        self.device = torch.device(device)

    @classmethod
    def from_pretrained(
        cls,
        path_or_repo: str | Path,
        revision: str | None = None,
        endpoint: str | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> ParisPipeline:
        """Load a model in the published layout. Only JSON and safetensors are read; nothing is executed.

        Args:
            path_or_repo: A folder, or a Hub repo such as `org/model`.
            revision: Branch, tag or commit of the repo; None for its main branch.
            endpoint: URL of another Hub than the public one.
            device: None for a GPU where there is one.
            dtype: What experts and router compute in.

        Raises:
            LayoutError: No such folder or repo, or a part of it is missing or contradicts another.
            CheckpointError: Weights are not those of the model that the folder describes, or not finite.
            TextError: The text encoder cannot be loaded.
            CodecError: The VAE cannot be loaded.
        """
        folder = _local_folder(path_or_repo, revision, endpoint)
        layout: Layout = read_layout(folder)
        place = torch.device(device or _best_device())
        experts = [load_expert(folder, layout, number, dtype).to(place) for number in range(layout.num_experts)]
        return cls(
            experts,
            load_router(folder, layout, dtype).to(place),
            load_text_encoder(layout.text, folder, place),
            load_codec(layout.codec, folder, place),
            place,
            load_prompt_part(folder, layout),
            layout.sampling,
        )

    def __call__(
        self,
        prompt: str | Sequence[str],
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        negative_prompt: str | Sequence[str] | None = None,
        num_images_per_prompt: int = 1,
        generator: int | torch.Generator | Sequence[int | torch.Generator] | None = None,
        routing: str | None = None,
        output_type: str = "pil",
        solver: str | None = None,
        on_step: Callable[[Step], None] | None = None,
    ) -> ParisPipelineOutput:
        """Draw pictures.

        Args:
            prompt: One text or several.
            num_inference_steps: Steps from noise to picture; None, here and below: as the model says.
            guidance_scale: How much more the text counts than it does by itself; 1 is no guidance.
            negative_prompt: To be led away from; one for all, or one a prompt. None: the null prompt.
            num_images_per_prompt: Pictures of each prompt.
            generator: A seed, of which picture i takes `seed + i`; a seed or generator a picture; one generator for
                all; or None for fresh pictures.
            routing: "top1", "top2" or "full".
            output_type: "pil", "np" or "pt".
            solver: "euler" or "heun".
            on_step: Told after each step, see `sampler.Step`.

        Raises:
            SamplingError: An argument is unknown, out of range, or does not fit the others.
        """
        if output_type not in OUTPUT_TYPES:
            raise SamplingError(f"Unknown output_type {output_type!r}.", f"Choose one of {', '.join(OUTPUT_TYPES)}.")
        default = self.sampling
        scale = default.guidance_scale if guidance_scale is None else guidance_scale
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        if not prompts or num_images_per_prompt < 1:
            raise SamplingError(f"{len(prompts)} prompts of {num_images_per_prompt} pictures each make no picture.")
        states, mask = (part.repeat_interleave(num_images_per_prompt, dim=0) for part in self._encode(prompts))
        negative = None
        if scale != 1.0:
            negative = self._negative(negative_prompt, len(prompts), num_images_per_prompt)
        made = sample(
            self.experts,
            self.router,
            states,
            mask,
            seeds=_seeds(generator, len(states)),
            negative=negative,
            prompt_evidence=self._prompt_evidence(states, mask),
            num_steps=default.num_steps if num_inference_steps is None else num_inference_steps,
            guidance_scale=scale,
            routing=routing or default.routing,
            solver=solver or default.solver,
            on_step=on_step,
        )
        return ParisPipelineOutput(_as_output(self.codec.decode(made), output_type))

    def _encode(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        states, mask = self.text_encoder.encode(prompts)
        return states.to(self.device), mask.to(self.device)

    @torch.no_grad()
    def _prompt_evidence(self, states: Tensor, mask: Tensor) -> Tensor | None:
        if self.prompt_router is None:
            return None
        says, prior = (
            self.prompt_router(*(part.cpu() for part in text)) for text in ((states, mask), self._encode([""]))
        )
        return combine_with_prompt(torch.zeros_like(says), says, prior).to(self.device)

    def _negative(self, prompt: str | Sequence[str] | None, num_prompts: int, num_images: int) -> tuple[Tensor, Tensor]:
        if prompt is None or isinstance(prompt, str):
            return self._encode([prompt or ""])
        if len(prompt) != num_prompts:
            raise SamplingError(f"There are {len(prompt)} negative prompts for {num_prompts} prompts.")
        states, mask = self._encode(prompt)
        return states.repeat_interleave(num_images, dim=0), mask.repeat_interleave(num_images, dim=0)


def _local_folder(path_or_repo: str | Path, revision: str | None, endpoint: str | None) -> Path:
    path = Path(path_or_repo)
    if path.is_dir():
        return path
    name = str(path_or_repo)
    if isinstance(path_or_repo, Path) or name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise LayoutError(f"There is no folder {name}.", "Give a model's folder, or a Hub repo such as org/model.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, endpoint=endpoint, allow_patterns=_FILES))
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise LayoutError(f"{name} cannot be fetched from the Hub: {first_line}", "Check name and revision.") from error


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _seeds(
    generator: int | torch.Generator | Sequence[int | torch.Generator] | None, num_pictures: int
) -> Sequence[int | torch.Generator]:
    if generator is None:
        return [secrets.randbits(63) for _ in range(num_pictures)]
    if isinstance(generator, int):
        return [generator + number for number in range(num_pictures)]
    if isinstance(generator, torch.Generator):
        return [generator] * num_pictures
    return list(generator)


def _as_output(pictures: np.ndarray, output_type: str) -> Any:
    """uint8 `[B, H, W, 3]` in the form that was asked for."""
    if output_type == "np":
        return pictures.astype(np.float32) / 255.0
    if output_type == "pt":
        return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255.0
    try:
        from PIL import Image
    except ImportError as error:
        raise SamplingError("output_type 'pil' needs Pillow.", "Run pip install pillow, or ask for 'np'.") from error
    return [Image.fromarray(picture) for picture in pictures]
