"""Losses of any set of weights on the secret rows.

Shapes: N rows of a cluster, L text tokens, E text width.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor

from paris.coordinator.errors import NotReadyError
from paris.coordinator.verify.bounds import VerificationBounds
from paris.coordinator.verify.case import VerificationCase
from paris.coordinator.verify.curves import ScoredPoint
from paris.experts.data.shards import ShardFile
from paris.experts.frozen.codec import CodecConfig, load_codec
from paris.experts.frozen.text import TextConfig
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.models.model import DiTExpert
from paris.experts.models.presets import ModelConfig
from paris.experts.objectives.objectives import Objective
from paris.experts.seeding import generator_for
from paris.experts.seeds import seed_for
from paris.experts.training.evaluate import comparable_losses, heldout_losses

Losses = dict[int, Tensor]
"""Cluster to the losses of its secret rows `[N]`."""


@dataclass(frozen=True)
class SecretRows:
    """Where the secret rows are, and how they are drawn."""

    heldout: tuple[Path, ...]
    """One shard file for each cluster, in order."""
    parts: Path
    """Folder of text encoder and codec."""
    text: TextConfig
    codec: CodecConfig
    seed: int
    """Secret; the same for all experts of a run."""
    bounds: VerificationBounds
    """How many rows, times and noises."""
    device: str

    @classmethod
    def of(cls, case: VerificationCase) -> Self:
        """Those of a submission's run."""
        text, codec = TextConfig.from_settings(case.run.text), CodecConfig.from_settings(case.run.codec)
        return cls(case.heldout, case.text_folder, text, codec, case.seed, case.bounds, case.device)


class _Rows(NamedTuple):
    x0: Tensor
    """`[N, C, H, W]`."""
    text: Tensor
    """`[N, L, E]`."""
    mask: Tensor
    """`[N, L]`."""
    order: list[int]
    """Row i is also scored with the caption of row `order[i]`."""
    captions_differ: bool
    """Whether any of these captions is another one."""


class Scoring:
    """Scores weights, all on the same rows with the same times and noises.

    Args:
        secret: The rows and the seed of the draws.
        config: The submission's model.

    Raises:
        NotReadyError: A file of secret rows is missing.
    """

    def __init__(self, secret: SecretRows, config: ModelConfig) -> None:
        self._secret, self.config = secret, config
        self.device = torch.device(secret.device)
        self.codec = load_codec(secret.codec, secret.parts, self.device)
        self.encoder = load_text_encoder(secret.text, secret.parts, self.device)
        if missing := [path for path in secret.heldout if not path.is_file()]:
            raise NotReadyError(f"{missing[0]} is missing.", "Prepare the run's data again, or restore the file.")
        self._rows = {cluster: self._chosen(cluster, path) for cluster, path in enumerate(secret.heldout)}

    @property
    def clusters(self) -> list[int]:
        """All clusters of the run."""
        return list(self._rows)

    def losses(
        self,
        weights: Mapping[str, Tensor],
        clusters: Iterable[int],
        objective: Objective,
        *,
        comparable: bool = False,
        config: ModelConfig | None = None,
    ) -> Losses:
        """Score weights on some clusters.

        Args:
            weights: Exactly the model's tensors, float32.
            clusters: The clusters to score on.
            objective: The expert's training objective.
            comparable: In terms that experts of all objectives share (`comparable_losses`), not in its own.
            config: The model, where the weights are of another size than the submission's.
        """
        model, score = self.model(weights, config), comparable_losses if comparable else heldout_losses
        found = {}
        for cluster in clusters:
            rows = self._rows[cluster]
            scored = score(model, rows.x0, (rows.text, rows.mask), objective=objective, **self._draws(cluster))
            found[cluster] = scored.cpu()
        return found

    def shuffled_losses(self, weights: Mapping[str, Tensor], cluster: int, objective: Objective) -> Tensor | None:
        """Losses of a cluster's rows with the captions of other rows `[N]`; None where no caption differs.

        Args:
            weights: Exactly the model's tensors, float32.
            cluster: The cluster to score on.
            objective: The expert's training objective.
        """
        rows = self._rows[cluster]
        if not rows.captions_differ:
            return None
        text = rows.text[rows.order], rows.mask[rows.order]
        return heldout_losses(self.model(weights), rows.x0, text, objective=objective, **self._draws(cluster)).cpu()

    def model(self, weights: Mapping[str, Tensor], config: ModelConfig | None = None) -> DiTExpert:
        """The submission's model, or another one, with these weights, only to be evaluated."""
        with torch.device("meta"):
            model = DiTExpert(config or self.config)
        model.load_state_dict(dict(weights), assign=True)
        model.to(self.device).eval().requires_grad_(False)
        return model

    def _draws(self, cluster: int) -> dict[str, int]:
        seed = seed_for(self._secret.seed, "heldout-draws", cluster)
        return {"seed": seed, "num_draws": self._secret.bounds.heldout_draws}

    def _chosen(self, cluster: int, path: Path) -> _Rows:
        shard = ShardFile(path)
        generator = generator_for(self._secret.seed, "heldout-rows", cluster)
        most = self._secret.bounds.heldout_rows
        rows = sorted(torch.randperm(shard.num_rows, generator=generator)[:most].tolist())
        captions = [shard.captions[row] for row in rows]
        order = exchanged(captions, generator)
        differ = self.encoder.config.reads_text and captions != [captions[i] for i in order]
        states, mask = self.encoder.encode(captions)
        return _Rows(self.codec.to_model(shard.latents[rows]), states, mask, order, differ)


def scored_point(step: int, training_loss: float, losses: Losses, shuffled: Tensor | None) -> ScoredPoint:
    """Scores to keep: losses to six digits."""
    return ScoredPoint(
        step=step,
        training_loss=training_loss,
        heldout={cluster: _rounded(values) for cluster, values in losses.items()},
        shuffled=() if shuffled is None else _rounded(shuffled),
    )


def _rounded(losses: Tensor) -> tuple[float, ...]:
    return tuple(float(f"{loss:.6g}") for loss in losses.tolist())


def exchanged(captions: list[str], generator: torch.Generator) -> list[int]:
    """For each row, another row whose caption differs, as far as there is one; each row is taken once.

    Rows with equal captions are put side by side, in drawn order, and moved on by the largest number of equal ones.
    """
    counts = Counter(captions)
    distinct = sorted(counts)
    drawn = torch.randperm(len(distinct), generator=generator).tolist()
    place = {distinct[i]: at for at, i in enumerate(drawn)}
    rows = sorted(range(len(captions)), key=lambda row: place[captions[row]])
    step = max(counts.values(), default=0)
    partner = {row: rows[(at + step) % len(rows)] for at, row in enumerate(rows)}
    return [partner[row] for row in range(len(captions))]
