"""Do the routers know how much they know? Accuracy and calibration by noise level, with and without the prompt.

Of held-out rows, the very ones that a judge compares with, noised once in each tenth of flow time. The best temperature
is the one at which the rows' own clusters are most probable: 1 is a calibrated posterior, above 1 one that is too sure.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

from benchmarks.small.clusters import read_clusters
from benchmarks.small.judge import new_words_expected
from benchmarks.small.routers import load_routers
from benchmarks.small.settings import read_settings
from paris.experts.frozen.codec import CodecConfig, load_codec
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.models.prompt_router import prompt_posterior
from paris.experts.training.router_report import NOISE_BINS, calibration_error, heldout_posteriors

_ROWS_AT_ONCE = 500
_WIDEST = 8.0
"""Temperatures are looked for between one over this and this."""


def calibration_by_noise(folder: Path, clustering: str) -> list[dict[str, Any]]:
    """How well a clustering's routers are calibrated.

    Args:
        folder: A trained folder.
        clustering: Whose routers.

    Returns:
        One row a tenth of flow time, data first: of "picture" and "with_prompt" `accuracy`, `calibration_error`,
        `temperature`, and `nats`, the cross-entropy that this temperature saves.
    """
    settings, routers = read_settings(folder), load_routers(folder, clustering)
    heldout = read_clusters(folder, clustering, "heldout")
    codec = load_codec(CodecConfig(), folder / "data")
    device = torch.device("cpu")
    logs, labels = heldout_posteriors(
        routers.picture, heldout, codec, seed=settings.seed, batch_size=_ROWS_AT_ONCE, device=device
    )
    captions = [caption for data in heldout for i in range(data.num_shards) for caption in data.shard(i).captions]
    encoder = load_text_encoder(settings.text, folder / "data")
    with new_words_expected():
        text = encoder.encode(captions)
    evidence = prompt_posterior(routers.prompt, text, encoder.encode([""])).evidence
    both = {"picture": logs, "with_prompt": (logs + evidence[:, None]).log_softmax(2)}
    return [
        {"t": level / NOISE_BINS, **{name: _figures(said[:, level], labels) for name, said in both.items()}}
        for level in range(NOISE_BINS)
    ]


def best_temperature(logs: Tensor, labels: Tensor) -> float:
    """The temperature at which rows' own clusters are most probable.

    Args:
        logs: Logarithms of a posterior `[N, K]`.
        labels: Clusters `[N]`.

    Source: Guo et al., arXiv 1706.04599, section 4.2.
    """

    def loss(log_temperature: float) -> float:
        return F.cross_entropy(logs / np.exp(log_temperature), labels).item()

    return float(np.exp(minimize_scalar(loss, bounds=(-np.log(_WIDEST), np.log(_WIDEST)), method="bounded").x))


def _figures(logs: Tensor, labels: Tensor) -> dict[str, float]:
    confidence, choice = logs.exp().max(1)
    right, temperature = (choice == labels).double(), best_temperature(logs, labels)
    saved = F.cross_entropy(logs, labels) - F.cross_entropy(logs / temperature, labels)
    return {
        "accuracy": round(right.mean().item(), 4),
        "calibration_error": round(calibration_error(confidence, right), 4),
        "temperature": round(temperature, 3),
        "nats": round(saved.item(), 4),
    }
