"""Draws the report's pictures with the released model, and reads training pictures beside them.

Shapes: P prompts, S seeds, N pictures, H and W picture, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from paris.experts.frozen.features import Embedder
    from paris.experts.release.model import ParisModel

Pictures = NDArray[np.uint8]
_EMBEDDED_PX = 128
_DRAWN_TOGETHER = 64
"""Pictures that are drawn together: bounds the memory."""


@dataclass(frozen=True)
class SampleGrid:
    """Samples of the grid's prompts."""

    prompts: list[str]
    seeds: list[int]
    samples: Pictures
    """uint8 `[P, S, H, W, 3]`."""

    @property
    def flat(self) -> Pictures:
        """uint8 `[P * S, H, W, 3]`, the seeds of a prompt side by side."""
        return self.samples.reshape(-1, *self.samples.shape[2:])


def draw_grid(model: ParisModel, prompts: Sequence[str], seeds: Sequence[int]) -> SampleGrid:
    """Draw a picture of each prompt with each seed."""
    rows = [prompt for prompt in prompts for _ in seeds]
    drawn = draw_pictures(model, rows, list(seeds) * len(prompts))
    return SampleGrid(list(prompts), list(seeds), drawn.reshape(len(prompts), len(seeds), *drawn.shape[1:]))


def draw_pictures(model: ParisModel, prompts: Sequence[str], seeds: Sequence[int]) -> Pictures:
    """Draw a picture of each prompt and seed with the release's settings; uint8 `[N, H, W, 3]`."""
    from paris.experts.pipeline.drawing import draw

    parts = [slice(begin, begin + _DRAWN_TOGETHER) for begin in range(0, len(prompts), _DRAWN_TOGETHER)]
    return np.concatenate([np.asarray(draw(model, list(prompts[part]), list(seeds[part]))) for part in parts])


def decoded(model: ParisModel, stored: np.ndarray) -> Pictures:
    """Pictures of stored rows `[N, C, h, w]`: uint8 `[N, H, W, 3]`."""
    return np.asarray(model.codec.decode(model.codec.to_model(np.array(stored)).to(model.device)))


def as_model_inputs(model: ParisModel, pictures: Pictures) -> NDArray[Any]:
    """Model inputs `[N, C, h, w]` of pictures uint8 `[N, H, W, 3]`."""
    stored = model.codec.encode(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
    return np.asarray(model.codec.to_model(stored).cpu().numpy())


def features_of(embedder: Embedder, pictures: Pictures) -> Tensor:
    """Features of pictures uint8 `[N, H, W, 3]`, enlarged as `prepare` shows them to the embedder: float32 `[N, F]`."""
    import torch
    import torch.nn.functional as F

    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    large = F.interpolate(x, size=(_EMBEDDED_PX, _EMBEDDED_PX), mode="bicubic", antialias=True).clamp(0, 255)
    return embedder.embed(large.round().to(torch.uint8))
