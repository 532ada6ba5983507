"""What a pipeline returns: pictures as PIL images, arrays or tensors, and the routing trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers.utils import BaseOutput

from paris.experts.errors import SamplingError
from paris.experts.sampling.trace import RoutingTrace

OUTPUT_TYPES = ("pil", "np", "pt", "latent")


@dataclass
class ParisPipelineOutput(BaseOutput):
    """What a call returns."""

    images: Any
    """Pictures in the order of the prompts, each prompt's together: PIL images; float32 `[B, H, W, 3]` in [0, 1] for
    "np"; float32 `[B, 3, H, W]` in [0, 1] for "pt"; the model's own float32 `[B, C, H, W]` for "latent"."""
    routing: RoutingTrace | None = None
    """Which expert made which picture, with `return_routing=True`."""


def check_output_type(output_type: str) -> None:
    """Raise SamplingError for an unknown output type, before anything is computed."""
    if output_type not in OUTPUT_TYPES:
        raise SamplingError(f"Unknown output_type {output_type!r}.", f"Choose one of {', '.join(OUTPUT_TYPES)}.")


def as_output(pictures: np.ndarray, output_type: str) -> Any:
    """Convert decoded pictures, uint8 `[B, H, W, 3]`.

    Returns:
        "pil": a list of images; "np": float32 `[B, H, W, 3]` in [0, 1]; "pt": float32 `[B, 3, H, W]` in [0, 1].
    """
    if output_type == "np":
        return pictures.astype(np.float32) / 255.0
    if output_type == "pt":
        return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255.0
    from PIL import Image

    return [Image.fromarray(picture) for picture in pictures]
