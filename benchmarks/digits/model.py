"""The trained parts as two models in the published layout: `model/` of all experts, `monolith/` of one."""

from __future__ import annotations

from pathlib import Path

from benchmarks.digits.experts import MONOLITH, part_names, weights_of
from benchmarks.digits.routers import ROUTER
from benchmarks.digits.settings import DigitsSettings
from paris.experts.frozen.codec import CodecConfig
from paris.experts.models.prompt_router import PromptRouterConfig
from paris.experts.models.router import initial_router
from paris.experts.release.layout import Layout, router_path, write_layout
from paris.experts.sampling.settings import SamplingSettings

DATASET = "MNIST-5k (4,000 training rows, 16x16)"
SAMPLING = SamplingSettings(num_steps=25, guidance_scale=1.5, routing="top1")
"""The least distance of what was tried; 2.5 is recognised more often, 7.5 draws thick strokes."""


def write_models(folder: Path, settings: DigitsSettings, *, with_monolith: bool) -> None:
    """Put the parts together, where that is not done.

    Args:
        folder: The benchmark's folder; every part is trained.
        settings: The folder's.
        with_monolith: Write `monolith/` too.
    """
    if not (folder / "model" / "config.json").is_file():
        _write_ensemble(folder, settings)
    if with_monolith and not (folder / MONOLITH / "config.json").is_file():
        _write_monolith(folder, settings)


def _write_ensemble(folder: Path, settings: DigitsSettings) -> None:
    work = folder / "work" / ROUTER
    layout = Layout(
        name="Digits",
        dataset_name=DATASET,
        num_experts=settings.experts,
        model=settings.model,
        router=settings.router,
        text=settings.text,
        codec=CodecConfig(),
        prompt_router=PromptRouterConfig(text_embed_dim=settings.text.dim, num_clusters=settings.experts),
        sampling=SAMPLING,
    )
    experts = [weights_of(folder, part) for part in part_names(settings, with_monolith=False)]
    router = work / router_path(folder).name
    write_layout(folder / "model", layout, experts, router, folder / "data", work / "prompt_router.safetensors")


def _write_monolith(folder: Path, settings: DigitsSettings) -> None:
    """A model of one expert. Its router has nothing to choose, so that untrained weights are as good as any."""
    config = settings.router.model_copy(update={"num_clusters": 1})
    layout = Layout(
        name="Digits, monolith",
        dataset_name=DATASET,
        num_experts=1,
        model=settings.model,
        router=config,
        text=settings.text,
        codec=CodecConfig(),
        sampling=SAMPLING,
    )
    router = initial_router(config, settings.seed)
    write_layout(folder / MONOLITH, layout, [weights_of(folder, MONOLITH)], router, folder / "data")
