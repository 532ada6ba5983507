"""The loss of each expert on held-out rows of its cluster, and on training rows: far apart if it learned by heart."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from paris.coordinator.report.rows import HeldoutRows, TrainingRows, some_places

if TYPE_CHECKING:
    from paris.experts.release.model import ParisModel

_DRAWS = 8
"""Times and noises of a row."""


class ExpertLosses(NamedTuple):
    """Mean losses in terms of the expert's objective, over times that are spread evenly."""

    heldout: float
    training: float
    num_rows: int
    """Of each side."""


def measure_losses(
    model: ParisModel, training: TrainingRows, heldout: HeldoutRows, seed: int
) -> dict[int, ExpertLosses]:
    """Score each expert on as many training rows as held-out rows of its cluster: as many as the rarer side has.

    Args:
        model: The released model.
        training: The training rows.
        heldout: The held-out rows.
        seed: Of the choice of rows, and of times and noises, the same for both sides.

    Returns:
        Losses of each cluster that has rows of both kinds.
    """
    from paris.experts.frozen.text import PromptWarning
    from paris.experts.release.model import unwrapped
    from paris.experts.training.evaluate import heldout_losses

    found = {}
    for cluster in np.unique(heldout.clusters).tolist():
        secret = np.flatnonzero(heldout.clusters == cluster)
        seen = np.flatnonzero(training.clusters == cluster)
        if not len(secret) or not len(seen) or heldout.stored is None:
            continue
        secret, seen = equally_many(secret, seen, seed)
        sides = (
            (heldout.stored[secret], [heldout.captions[place] for place in secret]),
            (training.stored(seen), [training.captions[place] for place in seen]),
        )
        # Held-out captions may have words that no expert has met.
        with model.experts.exclusive(), warnings.catch_warnings():
            warnings.simplefilter("ignore", PromptWarning)
            network, objective = unwrapped(model.experts[cluster])
            means = [
                heldout_losses(
                    network,
                    model.codec.to_model(np.array(stored)),
                    model.text_encoder.encode(captions),
                    seed=seed,
                    objective=objective,
                    num_draws=_DRAWS,
                )
                .mean()
                .item()
                for stored, captions in sides
            ]
        found[cluster] = ExpertLosses(means[0], means[1], len(secret))
    return found


def equally_many(
    first: NDArray[np.int64], second: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As many places of either side `[n]`: all of the shorter side, and as many of the other, drawn by the seed."""
    count = min(len(first), len(second))
    return first[some_places(len(first), count, seed)], second[some_places(len(second), count, seed)]
