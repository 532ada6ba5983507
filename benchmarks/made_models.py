"""Model folders with random weights, of any number of experts, for timing and measuring memory.

To save disk space, expert k links to the file of expert k modulo the number of files. Cost does not depend on the
values of weights, as long as they are not zero.
"""

from __future__ import annotations

from pathlib import Path

import torch

from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text import TextConfig
from paris.experts.models.model import initial_expert
from paris.experts.models.presets import ModelConfig, RouterConfig, model_preset
from paris.experts.models.router import initial_router
from paris.experts.release.layout import expert_path, router_path
from paris.experts.release.layout_fields import Layout
from paris.experts.seeding import generator_for
from paris.experts.weights.checkpoint import save_weights


def made_layout(preset: str, num_experts: int) -> Layout:
    """Layout of a folder made by `make_model`, without text encoder and codec.

    Args:
        preset: Shape of the experts; the router has the same number of layers, with their width or the published one.
        num_experts: K.
    """
    model = model_preset(preset)
    return Layout(
        name="Made",
        num_experts=num_experts,
        model=model,
        router=made_router(model, num_experts),
        text=TextConfig(kind="vocabulary", dim=model.text_embed_dim, max_tokens=model.max_text_tokens),
        codec=CodecConfig(kind="vae" if model.in_channels == 4 else "pixels"),
    )


def made_router(model: ModelConfig, num_experts: int) -> RouterConfig:
    """A router like the published one: a DiT of at most B's size, and no larger than an expert."""
    width = min(model.hidden_size, 768)
    return RouterConfig(
        image_size=model.image_size,
        in_channels=model.in_channels,
        patch_size=model.patch_size,
        hidden_size=width,
        num_layers=min(model.num_layers, 12),
        num_heads=width // (model.hidden_size // model.num_heads),
        num_clusters=num_experts,
    )


def make_model(folder: Path, layout: Layout, num_files: int = 2, seed: int = 0) -> int:
    """Write experts and router with random weights.

    Args:
        folder: Where to; files that are there already are kept.
        layout: From `made_layout`.
        num_files: Files with weights; the other experts are links to them.
        seed: Of the weights.

    Returns:
        Bytes of one expert's weights.
    """
    for number in range(layout.num_experts):
        path, source = expert_path(folder, number), expert_path(folder, number % num_files)
        if number < num_files and not path.exists():
            save_weights(path, _filled(initial_expert(layout.model, seed + number), seed + number))
        elif not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(source)
    if not router_path(folder).exists():
        save_weights(router_path(folder), _filled(initial_router(layout.router, seed), seed))
    return expert_path(folder, 0).stat().st_size


def _filled(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """No zeros where training starts from zeros."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not parameter.any():
                parameter.normal_(0.0, 0.02, generator=generator_for(seed, "made", name))
    return model
