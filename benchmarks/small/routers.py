"""The two routers of a clustering: of noisy pictures, and of prompts.

<folder>/work/router.<clustering>/config.json  pytorch_model.safetensors
<folder>/work/router.<clustering>/prompt_router.safetensors
<folder>/work/router.<clustering>/report.json             written last: accuracy by noise level, seconds
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.small.clusters import read_clusters
from benchmarks.small.judge import new_words_expected
from benchmarks.small.settings import SmallSettings, read_settings
from paris.experts.data.cluster import ClusterData
from paris.experts.files import write_whole
from paris.experts.frozen.codec import CodecConfig, load_codec
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.models.flops import router_flops
from paris.experts.models.prompt_router import (
    PromptRouter,
    PromptRouterConfig,
    load_prompt_router,
    save_prompt_router,
    train_prompt_router,
)
from paris.experts.models.router import Router
from paris.experts.release.layout import read_router, write_router
from paris.experts.training.router_training import RouterRows, RouterTask, train_router

SAMPLED = ".sampled"
"""What the name of a clustering gets where its routers saw samples alone."""
SEEING = ".seeing"
"""What it gets where the router of pictures sees the prompt too."""
_SAY_EVERY = 400


class Routers(NamedTuple):
    """Trained routers of one clustering."""

    picture: Router
    prompt: PromptRouter


def folder_of(folder: Path, clustering: str) -> Path:
    """Where a clustering's routers are."""
    return folder / "work" / f"router.{clustering}"


def are_trained(folder: Path, clustering: str) -> bool:
    """Whether a clustering's routers are there, whole."""
    return (folder_of(folder, clustering) / "report.json").is_file()


def train_routers(
    folder: Path,
    clustering: str,
    say: Callable[[str], None] = print,
    rows: Callable[[], list[ClusterData]] | None = None,
) -> None:
    """Train both, or do nothing where that is done.

    Args:
        folder: The benchmark's folder, with its shards.
        clustering: Whose clusters they tell apart, with what the routers' name gets beside: `SAMPLED` or `SEEING`.
        say: Called with a line of progress now and then.
        rows: What they are trained on, a cluster each; None: the training rows of the clustering.
    """
    work = folder_of(folder, clustering)
    if are_trained(folder, clustering):
        return
    settings, began, own = read_settings(folder), time.monotonic(), clustering.partition(".")[0]
    clusters = rows() if rows else read_clusters(folder, own)
    count = len(clusters)
    encoder = load_text_encoder(settings.text, folder / "data")

    def progress(step: int, loss: float) -> None:
        if step % _SAY_EVERY == 0:
            say(f"router.{clustering}: step {step} of {settings.router_steps}, loss {loss:.4f}")

    with new_words_expected():
        task = RouterTask(
            seed=settings.seed,
            router=settings.router(count, sees_prompt=clustering.endswith(SEEING)),
            training=settings.router_training,
        )
        rows_of_all = RouterRows(clusters, read_clusters(folder, own, "heldout"))
        codec = load_codec(CodecConfig(), folder / "data")
        router, report = train_router(task, rows_of_all, codec, encoder, work, on_progress=progress)
    write_router(work, router)
    shards = [(cluster.shard(i), k) for k, cluster in enumerate(clusters) for i in range(cluster.num_shards)]
    captions = [(caption, k) for shard, k in shards for caption in shard.captions]
    texts, homes = [text for text, _ in captions], [k for _, k in captions]
    steps = settings.prompt_router_steps
    prompt_router = train_prompt_router(encoder, texts, homes, count, seed=settings.seed, steps=steps)
    save_prompt_router(work / "prompt_router.safetensors", prompt_router)
    facts = {**report.to_settings(), "seconds": round(time.monotonic() - began, 1)}
    write_whole(work / "report.json", json.dumps(facts, indent=1).encode())


def load_routers(folder: Path, clustering: str) -> Routers:
    """Both, ready to be asked.

    Raises:
        LayoutError: They are not trained.
        CheckpointError: The weights are not those of the settings.
    """
    settings, work = read_settings(folder), folder_of(folder, clustering)
    router = read_router(work)
    shape = PromptRouterConfig(text_embed_dim=settings.text.dim, num_clusters=router.config.num_clusters)
    prompt = load_prompt_router(work / "prompt_router.safetensors", shape)
    return Routers(router.eval().requires_grad_(False), prompt.requires_grad_(False))


def router_training_flops(settings: SmallSettings, clusters: int) -> int:
    """Of a whole training of the router of pictures; the router of prompts is too small to count."""
    training = settings.router_training
    return 3 * training.steps * training.batch_size * router_flops(settings.router(clusters))
