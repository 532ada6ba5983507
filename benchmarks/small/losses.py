"""How well each cluster's held-out rows are predicted: by their own expert, by the others, and by one model more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.small.arms import Arm
from benchmarks.small.clusters import heldout_homes
from benchmarks.small.judge import new_words_expected, open_judge
from benchmarks.small.parts import Part, load_part
from benchmarks.small.pictures import Pictures
from benchmarks.small.settings import SmallSettings, read_settings
from paris.experts.frozen.codec import Codec, CodecConfig, load_codec
from paris.experts.frozen.text import TextEncoder
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.training.evaluate import heldout_losses

_ROWS = 200


def losses_by_cluster(folder: Path, experts: Arm, beside: Part) -> list[dict[str, Any]]:
    """Losses on held-out rows of each cluster, and what each expert gains over the model beside them.

    Args:
        folder: A trained folder.
        experts: With one expert a cluster; all learned the velocity.
        beside: The monolith, or what the experts started from.

    Returns:
        One row a cluster: `own`, `best_other`, `beside`, losses; `gain`, the fall of its own expert's loss against
        `beside`; `elsewhere`, by how much that expert gains more on the other cluster where it gains most.
    """
    losses, shares = _losses(folder, experts, beside)
    gains = 1 - losses[:-1] / losses[-1]
    rows = []
    for k, share in enumerate(shares):
        others = [number for number in range(len(shares)) if number != k]
        figures = {
            "own": losses[k, k],
            "best_other": losses[others, k].min(),
            "beside": losses[-1, k],
            "gain": gains[k, k],
            "elsewhere": gains[k, others].max() - gains[k, k],
        }
        rows.append({"cluster": k, "share": share} | {name: round(float(value), 4) for name, value in figures.items()})
    return rows


def own_loss(folder: Path, part: Part) -> float:
    """Mean loss of a trained part on held-out rows of its own cluster."""
    torch.set_num_threads(1)
    settings = read_settings(folder)
    heldout, homes = open_judge(folder, settings).heldout, heldout_homes(folder, part.clustering)
    encoder, codec = (load_text_encoder(settings.text, folder / "data"), load_codec(CodecConfig(), folder / "data"))
    places = np.flatnonzero(homes == part.cluster)[:_ROWS]
    return (
        heldout_losses(load_part(folder, part), *_rows(heldout, places, settings, codec, encoder), seed=0).mean().item()
    )


def _losses(folder: Path, experts: Arm, beside: Part) -> tuple[np.ndarray, list[float]]:
    """Of each model, the last one being the one beside, on each cluster `[K + 1, K]`; the clusters' shares of rows."""
    torch.set_num_threads(1)
    settings = read_settings(folder)
    heldout = open_judge(folder, settings).heldout
    models = [load_part(folder, part) for part in (*experts.parts, beside)]
    homes = heldout_homes(folder, experts.clustering)
    encoder, codec = (load_text_encoder(settings.text, folder / "data"), load_codec(CodecConfig(), folder / "data"))
    losses = np.zeros((len(models), len(experts.parts)))
    for k in range(len(experts.parts)):
        places = np.flatnonzero(homes == k)[:_ROWS]
        rows, text = _rows(heldout, places, settings, codec, encoder)
        for number, model in enumerate(models):
            losses[number, k] = heldout_losses(model, rows, text, seed=0).mean().item()
    return losses, [round(float((homes == k).mean()), 3) for k in range(len(experts.parts))]


def _rows(
    heldout: Pictures, places: np.ndarray, settings: SmallSettings, codec: Codec, encoder: TextEncoder
) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """Held-out rows as a model takes them, and their text states and masks."""
    pixels = np.ascontiguousarray(heldout.pixels[places][..., : settings.channels].transpose(0, 3, 1, 2))
    with new_words_expected():
        return codec.to_model(pixels), encoder.encode([heldout.captions[place] for place in places])
