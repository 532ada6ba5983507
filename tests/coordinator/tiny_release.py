"""A release of three small untrained experts, in less than a second."""

from __future__ import annotations

from pathlib import Path

import torch

from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text import TextConfig
from paris.experts.frozen.text_vocabulary import write_vocabulary
from paris.experts.models.model import DiTExpert, initial_expert
from paris.experts.models.presets import ModelConfig, RouterConfig
from paris.experts.models.router import initial_router
from paris.experts.release.layout import write_layout
from paris.experts.release.layout_fields import Layout
from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.settings import SamplingSettings

SIZE = 8
NUM_STEPS = 4
_SIZES = {"image_size": SIZE, "in_channels": 3, "patch_size": 4, "hidden_size": 16, "num_layers": 1, "num_heads": 2}
_ROUTER = RouterConfig(**_SIZES, num_clusters=3)


def write_tiny_release(folder: Path, *, reads_text: bool = True) -> Path:
    """Write it below a folder; its vocabulary, if it reads text, is "heart" and "red"."""
    write_vocabulary(folder / "parts" / "vocab.json", ["heart", "red"])
    width, tokens = (8, 4) if reads_text else (0, 0)
    model = ModelConfig(**_SIZES, text_embed_dim=width, max_text_tokens=tokens)
    text = TextConfig(kind="vocabulary", dim=width, max_tokens=tokens) if reads_text else TextConfig(kind="none")
    layout = Layout(
        name="Tiny",
        num_experts=3,
        model=model,
        router=_ROUTER,
        text=text,
        codec=CodecConfig(),
        sampling=SamplingSettings(num_steps=NUM_STEPS, guidance=Guidance(scale=2.0 if reads_text else 1.0)),
    )
    write_layout(
        folder / "release", layout, [_expert(model, k) for k in range(3)], initial_router(_ROUTER, 0), folder / "parts"
    )
    return folder / "release"


def _expert(model: ModelConfig, seed: int) -> DiTExpert:
    """An expert whose last layer is not zero, as that of an untrained one is: its steps change the picture."""
    expert = initial_expert(model, seed)
    torch.nn.init.normal_(expert.final_layer.linear.weight, std=0.1, generator=torch.Generator().manual_seed(seed))
    return expert
