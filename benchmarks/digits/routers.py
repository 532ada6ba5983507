"""The two routers of the digits: of noisy pictures, and of prompts.

<folder>/work/router/config.json  pytorch_model.safetensors
<folder>/work/router/prompt_router.safetensors
<folder>/work/router/report.json                    written last: accuracy by noise level, seconds
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.digits.clusters import read_clusters
from benchmarks.digits.settings import read_settings
from paris.experts.files import write_whole
from paris.experts.frozen.codec import CodecConfig, load_codec
from paris.experts.frozen.text import load_text_encoder
from paris.experts.models.prompt_router import save_prompt_router, train_prompt_router
from paris.experts.release.layout import write_router
from paris.experts.training.router_training import train_router

ROUTER = "router"
_SAY_EVERY = 400


def train_routers(folder: Path, say: Callable[[str], None] = print) -> None:
    """Train both, or do nothing where that is done.

    Args:
        folder: The benchmark's folder, with its shards.
        say: Told a line now and then.
    """
    work, data = folder / "work" / ROUTER, folder / "data"
    if (work / "report.json").is_file():
        return
    settings, began = read_settings(folder), time.monotonic()
    clusters = read_clusters(data, settings.experts)

    def progress(step: int, loss: float) -> None:
        if step % _SAY_EVERY == 0:
            say(f"{ROUTER}: step {step} of {settings.router_steps}, loss {loss:.4f}")

    router, report = train_router(
        settings.router,
        clusters,
        read_clusters(data, settings.experts, "heldout"),
        load_codec(CodecConfig(), data),
        settings.router_training,
        seed=settings.seed,
        on_progress=progress,
    )
    write_router(work, router)
    captions = [(caption, k) for k, cluster in enumerate(clusters) for caption in cluster.shard(0).captions]
    encoder = load_text_encoder(settings.text, data)
    texts, homes = [text for text, _ in captions], [k for _, k in captions]
    steps = settings.prompt_router_steps
    prompt_router = train_prompt_router(encoder, texts, homes, settings.experts, seed=settings.seed, steps=steps)
    save_prompt_router(work / "prompt_router.safetensors", prompt_router)
    facts = {**report.to_settings(), "seconds": round(time.monotonic() - began, 1)}
    write_whole(work / "report.json", json.dumps(facts, indent=1).encode())
