"""Recognition: whether the training picture nearest to a sample in features is that of the sample's own prompt.

Measured for every training caption, and for the prompts of the run's grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.prepared_data import load_manifests, prepared_record

if TYPE_CHECKING:
    from paris.experts.release.model import ParisModel

Pictures = NDArray[np.uint8]
_MAX_CAPTIONS = 512
_DEFAULT_PROMPTS = 8
"""Captions in the grid if [sampling] has no prompts."""
_EMBEDDED_PX = 128


@dataclass(frozen=True)
class SampleGrid:
    """Samples of the run's prompts. Shapes: P prompts, S seeds, H and W picture."""

    prompts: list[str]
    captions: list[str]
    """The training caption of each prompt."""
    samples: Pictures
    """uint8 `[P, S, H, W, 3]`."""
    originals: Pictures
    """uint8 `[P, H, W, 3]`, the training picture of each caption."""


def measure_recognition(run: RunDir) -> tuple[dict[str, Any], SampleGrid]:
    """Draw one sample of every training caption and a grid of the run's prompts, and find the nearest pictures.

    Args:
        run: A run with a release.

    Returns:
        The field `recognition` of report.json, and the grid.

    Raises:
        ExpertError: The release cannot be loaded.
    """
    import torch

    from paris.experts.frozen.features import load_embedder
    from paris.experts.release.model import load_model
    from paris.experts.training.evaluate import nearest_is_own

    model = load_model(run.release)
    captions, pictures = _training_pictures(run, model)
    embedder = load_embedder(prepared_record(run)["config"]["embedder"])
    train_features = embedder.embed(_resized(pictures))
    samples = _draw(model, captions, list(range(len(captions))))
    grid = _draw_grid(run, model, captions, pictures)
    num_prompts, num_seeds = grid.samples.shape[:2]
    own = torch.tensor([captions.index(caption) for caption in grid.captions]).repeat_interleave(num_seeds)
    overall = nearest_is_own(embedder.embed(_resized(samples)), train_features)
    in_grid = nearest_is_own(
        embedder.embed(_resized(grid.samples.reshape(-1, *grid.samples.shape[2:]))), train_features, own
    )
    rates = (in_grid.ranks == 0).reshape(num_prompts, num_seeds).double().mean(1).tolist()
    figures = {
        "embedder": embedder.name,
        "num_names": len(captions),
        "nearest_is_own": overall.rate,
        "chance": overall.chance,
        "missed": [captions[i] for i in (overall.ranks > 0).nonzero()[:, 0].tolist()],
        "prompts": [
            {"prompt": prompt, "caption": caption, "rate": rate, "recognised": rate > 0.5}
            for prompt, caption, rate in zip(grid.prompts, grid.captions, rates, strict=True)
        ],
    }
    return figures, grid


def _draw_grid(run: RunDir, model: ParisModel, captions: list[str], pictures: Pictures) -> SampleGrid:
    table = run.config.sampling
    prompts = table.prompts or captions[:_DEFAULT_PROMPTS]
    own = [_closest_caption(prompt, captions) for prompt in prompts]
    rows = [prompt for prompt in prompts for _ in table.seeds]
    samples = _draw(model, rows, table.seeds * len(prompts))
    shape = (len(prompts), len(table.seeds), *samples.shape[1:])
    return SampleGrid(prompts, own, samples.reshape(shape), pictures[[captions.index(caption) for caption in own]])


def _training_pictures(run: RunDir, model: ParisModel) -> tuple[list[str], Pictures]:
    """Captions and decoded pictures of the first N <= 512 training rows; uint8 `[N, H, W, 3]`."""
    from paris.experts.data.cluster import ClusterData

    captions: list[str] = []
    stored = []
    for manifest in load_manifests(run):
        if len(captions) >= _MAX_CAPTIONS:
            break
        data = ClusterData([run.data / shard.path for shard in manifest.shards])
        for index in range(data.num_shards):
            if len(captions) >= _MAX_CAPTIONS:
                break
            shard = data.opened(index)
            captions += shard.captions
            stored.append(np.array(shard.latents))
    rows = np.concatenate(stored)[:_MAX_CAPTIONS]
    return captions[:_MAX_CAPTIONS], model.codec.decode(model.codec.to_model(rows))


def _draw(model: ParisModel, prompts: list[str], seeds: list[int]) -> Pictures:
    """Draw a picture of each prompt with the release's settings; uint8 `[N, H, W, 3]`."""
    from paris.experts.pipeline.drawing import draw

    return np.asarray(draw(model, prompts, seeds))


def _resized(pictures: Pictures) -> Pictures:
    """Resize uint8 `[N, H, W, 3]` to the embedder's input, `[N, 3, 128, 128]`."""
    import torch
    import torch.nn.functional as F

    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    large = F.interpolate(x, size=(_EMBEDDED_PX, _EMBEDDED_PX), mode="bicubic", antialias=True).clamp(0, 255)
    return np.asarray(large.round().to(torch.uint8).numpy())


def _closest_caption(prompt: str, captions: list[str]) -> str:
    """The training caption with the largest Jaccard similarity of words to the prompt."""
    from paris.experts.frozen.text_vocabulary import split_words

    words = set(split_words(prompt))
    return max(
        captions, key=lambda caption: len(words & set(split_words(caption))) / len(words | set(split_words(caption)))
    )
