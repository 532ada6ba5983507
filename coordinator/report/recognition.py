"""Are the samples what their prompts name? For every training caption, and for the grid of the run's prompts.

A sample counts as recognised when, of all training pictures, the one nearest to it in features is its prompt's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.prepared_data import load_manifests, prepared_record

Pictures = NDArray[np.uint8]
_MOST_NAMES = 512
_FEW_NAMES = 8
"""Prompts of the grid where the run names none."""
_VIEW_PX = 128


@dataclass(frozen=True)
class Grid:
    """The grid's pictures, beside the report's figures."""

    samples: Pictures
    """uint8 `[prompts, seeds, H, W, 3]`."""
    originals: Pictures
    """uint8 `[prompts, H, W, 3]`: the training picture that each prompt names."""
    captions: list[str]


def measure_recognition(run: RunDir) -> tuple[dict[str, Any], Grid]:
    """Sample every training caption once and the grid's prompts with each seed, and look for the nearest pictures.

    Args:
        run: A run with a release.

    Returns:
        Plain data for the report, and the grid's pictures.

    Raises:
        ExpertError: The release cannot be loaded.
    """
    from paris.experts.frozen.features import load_embedder
    from paris.experts.release.parts import load_parts
    from paris.experts.training.evaluate import nearest_is_own

    parts = load_parts(run.release)
    captions, pictures = _training_pictures(run, parts)
    embedder = load_embedder(prepared_record(run)["config"]["embedder"])
    table = run.config.sampling
    prompts = [(prompt, _caption_of(prompt, captions)) for prompt in table.prompts or captions[:_FEW_NAMES]]
    train_features = embedder.embed(_enlarged(pictures))
    samples = _draw(parts, captions, list(range(len(captions))))
    rows = [prompt for prompt, _ in prompts for _ in table.seeds]
    grid = _draw(parts, rows, table.seeds * len(prompts))
    own = [captions.index(caption) for _, caption in prompts for _ in table.seeds]

    import torch

    overall = nearest_is_own(embedder.embed(_enlarged(samples)), train_features)
    in_grid = nearest_is_own(embedder.embed(_enlarged(grid)), train_features, torch.tensor(own))
    hits = (in_grid.ranks == 0).reshape(len(prompts), len(table.seeds)).double().mean(1).tolist()
    figures = {
        "embedder": embedder.name,
        "num_names": len(captions),
        "nearest_is_own": overall.rate,
        "chance": overall.chance,
        "missed": [captions[i] for i in (overall.ranks > 0).nonzero()[:, 0].tolist()],
        "prompts": [
            {"prompt": prompt, "caption": caption, "rate": rate, "recognised": rate > 0.5}
            for (prompt, caption), rate in zip(prompts, hits, strict=True)
        ],
    }
    shape = (len(prompts), len(table.seeds), *grid.shape[1:])
    originals = pictures[[captions.index(caption) for _, caption in prompts]]
    return figures, Grid(grid.reshape(shape), originals, [prompt for prompt, _ in prompts])


def _training_pictures(run: RunDir, parts: Any) -> tuple[list[str], Pictures]:
    """Captions, and the pictures as the codec shows them, uint8 `[N, H, W, 3]`; the first rows where there are many."""
    from paris.experts.data.cluster import ClusterData

    captions: list[str] = []
    stored = []
    for manifest in load_manifests(run):
        if len(captions) >= _MOST_NAMES:
            break
        data = ClusterData([run.data / shard.path for shard in manifest.shards])
        for index in range(data.num_shards):
            shard = data.shard(index)
            captions += shard.captions
            stored.append(np.array(shard.latents))
    rows = np.concatenate(stored)[:_MOST_NAMES]
    return captions[:_MOST_NAMES], parts.codec.decode(parts.codec.to_model(rows))


def _draw(parts: Any, prompts: list[str], seeds: list[int]) -> Pictures:
    """One picture a prompt with the release's own settings, uint8 `[N, H, W, 3]`."""
    from paris.experts.pipeline.drawing import draw

    return np.asarray(draw(parts, prompts, seeds))


def _enlarged(pictures: Pictures) -> Pictures:
    """`[N, H, W, 3]` to `[N, 3, H', W']`, at the size that the embedder's features are made for."""
    import torch
    import torch.nn.functional as F

    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    large = F.interpolate(x, size=(_VIEW_PX, _VIEW_PX), mode="bicubic", antialias=True).clamp(0, 255)
    return np.asarray(large.round().to(torch.uint8).numpy())


def _caption_of(prompt: str, captions: list[str]) -> str:
    """The training caption with the same words as the prompt, else the one that shares most of them."""
    from paris.experts.frozen.text_vocabulary import split_words

    words = set(split_words(prompt))
    return max(
        captions, key=lambda caption: len(words & set(split_words(caption))) / len(words | set(split_words(caption)))
    )
