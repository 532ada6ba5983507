"""The two routers of the digits: of noisy pictures, and of prompts. Trained on data, or on what the experts drew.

<folder>/work/router/config.json  pytorch_model.safetensors
<folder>/work/router/prompt_router.safetensors
<folder>/work/router/report.json                    written last: accuracy by noise level, seconds
<folder>/work/sampled-router/...                    the same, of samples
<folder>/work/samples/...                           what the experts drew
<folder>/sampled-router/                            the model with the routers that were trained on samples
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.digits.clusters import read_clusters
from benchmarks.digits.settings import read_settings
from paris.experts.data.shards import ClusterData
from paris.experts.files import file_sha256, write_whole
from paris.experts.frozen.codec import CodecConfig, load_codec
from paris.experts.frozen.text import load_text_encoder
from paris.experts.models.prompt_router import save_prompt_router, train_prompt_router
from paris.experts.pipeline.expert_samples import ExpertSamples, SampleFolder, in_proportion
from paris.experts.release.layout import (
    PROMPT_ROUTER_FILE,
    expert_path,
    read_layout,
    router_path,
    write_layout,
    write_router,
)
from paris.experts.release.parts import load_parts
from paris.experts.training.router_training import train_router

ROUTER = "router"
SAMPLED_ROUTER = "sampled-router"
_SAY_EVERY = 400


def train_routers(folder: Path, say: Callable[[str], None] = print) -> None:
    """Train both, or do nothing where that is done.

    Args:
        folder: The benchmark's folder, with its shards.
        say: Told a line now and then.
    """
    _train(folder, ROUTER, lambda: read_clusters(folder / "data", read_settings(folder).experts), say)


def routers_from_samples(folder: Path, samples_per_expert: int = 1000, say: Callable[[str], None] = print) -> Path:
    """Train both on what the experts draw without guidance, on captions of their own clusters; no data is seen.

    Args:
        folder: The benchmark's folder, with its `model/`.
        samples_per_expert: Rows of an expert on average; the data has 1,000 with four experts.
        say: Told a line now and then.

    Returns:
        A model's folder: the experts of `model/` with these routers. Nothing is done where it stands.
    """
    out, samples = folder / SAMPLED_ROUTER, folder / "work" / "samples"
    if not (out / "config.json").is_file():
        _train(folder, SAMPLED_ROUTER, lambda: _drawn(folder, samples, samples_per_expert, say), say)
        layout, work = read_layout(folder / "model"), folder / "work" / SAMPLED_ROUTER
        experts = [expert_path(folder / "model", k) for k in range(layout.num_experts)]
        router, prompt_router = work / router_path(folder).name, work / PROMPT_ROUTER_FILE
        write_layout(out, layout, experts, router, folder / "model", prompt_router)
    return out


def _drawn(folder: Path, samples: Path, mean: int, say: Callable[[str], None]) -> list[ClusterData]:
    """Rows of each expert of `model/`, with captions as its cluster has them."""
    torch.set_num_threads(1)
    parts, seed = load_parts(folder / "model", device="cpu"), read_settings(folder).seed
    data = read_clusters(folder / "data", parts.layout.num_experts)
    captions = [cluster.shard(0).captions for cluster in data]
    sampling = parts.layout.sampling
    request = ExpertSamples(
        experts=tuple(file_sha256(expert_path(folder / "model", k)) for k in range(len(data))),
        counts=in_proportion([len(own) for own in captions], mean),
        heldout=(0,) * len(data),
        prompts_sha256=hashlib.sha256(json.dumps(captions).encode()).hexdigest(),
        seed=seed,
        num_steps=sampling.num_steps,
        solver=sampling.solver,
    )
    drawing = SampleFolder(samples, request, parts.experts, parts.text_encoder, parts.codec, captions)
    return drawing.draw(lambda done: say(f"{done} of {sum(request.counts)} samples are drawn"))[0]


def _train(folder: Path, name: str, rows: Callable[[], list[ClusterData]], say: Callable[[str], None]) -> None:
    """Both routers into `work/name`, or nothing where that is done."""
    work, data = folder / "work" / name, folder / "data"
    if (work / "report.json").is_file():
        return
    settings, began = read_settings(folder), time.monotonic()
    clusters = rows()

    def progress(step: int, loss: float) -> None:
        if step % _SAY_EVERY == 0:
            say(f"{name}: step {step} of {settings.router_steps}, loss {loss:.4f}")

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
    shards = [(cluster.shard(i), k) for k, cluster in enumerate(clusters) for i in range(cluster.num_shards)]
    captions = [(caption, k) for shard, k in shards for caption in shard.captions]
    encoder = load_text_encoder(settings.text, data)
    texts, homes = [text for text, _ in captions], [k for _, k in captions]
    steps = settings.prompt_router_steps
    prompt_router = train_prompt_router(encoder, texts, homes, settings.experts, seed=settings.seed, steps=steps)
    save_prompt_router(work / PROMPT_ROUTER_FILE, prompt_router)
    facts = {**report.to_settings(), "seconds": round(time.monotonic() - began, 1)}
    write_whole(work / "report.json", json.dumps(facts, indent=1).encode())
