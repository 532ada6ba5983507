"""Losses of any set of weights on the secret rows, and on batches of the task's own training.

Shapes: N rows of a cluster, L text tokens, E text width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from paris.coordinator.errors import NotReadyError
from paris.coordinator.verify.case import VerificationCase
from paris.experts.data.cluster import ClusterData
from paris.experts.data.shards import ShardFile
from paris.experts.frozen.codec import CodecConfig, load_codec
from paris.experts.frozen.text import TextConfig
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.models.model import DiTExpert
from paris.experts.models.presets import ModelConfig
from paris.experts.objectives.objectives import Objective
from paris.experts.seeding import generator_for, seed_for
from paris.experts.training.batches import Batches
from paris.experts.training.config import TrainingConfig, TrainingTask
from paris.experts.training.evaluate import comparable_losses, heldout_losses

Losses = dict[int, Tensor]
"""Cluster to the losses of its secret rows `[N]`."""
_LATE_SHARE = 0.5
_MOST_ROWS = 64
"""Rows of a training batch that are scored together: bounds the memory."""


class Scoring:
    """Scores weights, all on the same rows with the same times and noises.

    Args:
        case: Paths of the rows, and the secret seed.
        config: The run's model.

    Raises:
        NotReadyError: A file of secret rows is missing.
    """

    def __init__(self, case: VerificationCase, config: ModelConfig) -> None:
        self._case, self._config = case, config
        self._device = torch.device(case.device)
        self._text = TextConfig.from_settings(case.run.text)
        self._codec_config = CodecConfig.from_settings(case.run.codec)
        self._codec = load_codec(self._codec_config, case.text_folder, self._device)
        self._encoder = load_text_encoder(self._text, case.text_folder, self._device)
        missing = [path for path in (*case.heldout, *case.shards) if not path.is_file()]
        if missing or case.task.cluster >= len(case.heldout):
            what = missing[0] if missing else f"the held-out rows of cluster {case.task.cluster}"
            raise NotReadyError(f"{what} is missing.", "Prepare the run's data again, or restore the file.")
        self._rows = {cluster: self._chosen(cluster, path) for cluster, path in enumerate(case.heldout)}

    @property
    def clusters(self) -> list[int]:
        """All clusters of the run."""
        return list(self._rows)

    def losses(
        self, weights: Mapping[str, Tensor], clusters: Iterable[int], objective: Objective, *, comparable: bool = False
    ) -> Losses:
        """Score weights on some clusters.

        Args:
            weights: Exactly the model's tensors, float32.
            clusters: The clusters to score on.
            objective: The expert's training objective.
            comparable: In terms that experts of all objectives share (`comparable_losses`), not in its own.
        """
        model, score = self._model(weights), comparable_losses if comparable else heldout_losses
        draws = self._case.bounds.heldout_draws
        found = {}
        for cluster in clusters:
            x0, *text = self._rows[cluster]
            seed = seed_for(self._case.seed, "heldout-draws", cluster)
            scored = score(model, x0, (text[0], text[1]), seed=seed, objective=objective, num_draws=draws)
            found[cluster] = scored.cpu()
        return found

    @torch.no_grad()
    def training_loss(self, weights: Mapping[str, Tensor]) -> float:
        """Mean loss on batches of the second half of the task's own training, steps drawn in secret.

        They are the same batches, times and noises as in the volunteer's training.
        """
        model, task = self._model(weights), self._training_task
        objective = task.training.objective
        batches = Batches(task, ClusterData(self._case.shards), self._codec, self._encoder)
        first = int(task.steps * _LATE_SHARE)
        count = max(1, self._case.bounds.claim_rows // task.training.batch_size)
        generator = generator_for(self._case.seed, "claimed-loss", self._case.lease.lease_id)
        steps = torch.randint(first, task.steps, (count,), generator=generator).tolist()
        total = 0.0
        for step in steps:
            batch = batches.batch(step).to(self._device)
            for piece in batch.split(_MOST_ROWS):
                seen = objective.add_noise(piece.x0, piece.noise, piece.t)
                output = model(seen, piece.t, piece.text, piece.text_mask)
                total += float(objective.loss(output, piece.x0, piece.noise)) * len(piece) / len(batch)
        return total / count

    def _model(self, weights: Mapping[str, Tensor]) -> DiTExpert:
        with torch.device("meta"):
            model = DiTExpert(self._config)
        model.load_state_dict(dict(weights), assign=True)
        model.to(self._device).eval().requires_grad_(False)
        return model

    def _chosen(self, cluster: int, path: Path) -> tuple[Tensor, Tensor, Tensor]:
        """Secret rows of a cluster as model inputs: `[N, C, H, W]`, text `[N, L, E]` and mask `[N, L]`."""
        shard = ShardFile(path)
        generator = generator_for(self._case.seed, "heldout-rows", cluster)
        most = self._case.bounds.heldout_rows
        rows = sorted(torch.randperm(shard.num_rows, generator=generator)[:most].tolist())
        states, mask = self._encoder.encode([shard.captions[row] for row in rows])
        return self._codec.to_model(shard.latents[rows]), states, mask

    @cached_property
    def _training_task(self) -> TrainingTask:
        case = self._case
        fixed = {"steps": case.task.steps, "batch_size": case.task.batch_size, "objective": case.task.objective}
        return TrainingTask(
            run_id=case.run_id,
            seed=case.run.seed,
            task_id=case.task.task_id,
            model=self._config,
            training=TrainingConfig.from_settings({**case.run.training, **fixed}),
            text=self._text,
            codec=self._codec_config,
            shard_rows=ClusterData(case.shards).shard_rows,
        )
