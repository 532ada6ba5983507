"""Held-out losses of a student and of its teachers, comparable between objectives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paris.coordinator.release.experts import TrainedExperts
from paris.coordinator.run.directory import RunDir
from paris.experts.data.shards import ShardFile
from paris.experts.frozen.codec import load_codec
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.models.model import DiTExpert
from paris.experts.release.bank import ExpertBank
from paris.experts.release.model import unwrapped
from paris.experts.seeds import seed_for
from paris.experts.training.evaluate import comparable_losses
from paris.experts.weights.checkpoint import load_weights

_MAX_ROWS = 256
"""Held-out rows of a cluster that are scored."""


def heldout_scores(
    run: RunDir, experts: TrainedExperts, bank: ExpertBank, weights: Path, device: str
) -> dict[str, Any] | None:
    """Score the student and each cluster's own expert on the same held-out rows, times and noise.

    Args:
        run: The run.
        experts: The teachers.
        bank: The teachers' weights.
        weights: The student's weights file.
        device: Where to compute.

    Returns:
        `student` and `experts`: mean losses, weighted by each cluster's held-out rows; `clusters`: both losses of each
        cluster. None if a cluster's held-out rows are missing.

    Raises:
        CheckpointError: The file does not contain weights of the teachers' architecture.
        ShardError: A held-out file cannot be read.
    """
    layout = experts.layout
    if not all(path.is_file() for path in run.heldout_files):
        return None
    codec = load_codec(layout.codec, experts.frozen_folder, device)
    encoder = load_text_encoder(layout.text, experts.frozen_folder, device)
    student = DiTExpert(layout.model)
    load_weights(weights, student)
    student.to(device).eval().requires_grad_(False)
    pairs, counts = [], []
    for k, path in enumerate(run.heldout_files):
        shard = ShardFile(path)
        rows = codec.to_model(shard.latents[:_MAX_ROWS].copy())
        text, seed = encoder.encode(shard.captions[:_MAX_ROWS]), seed_for(run.config.run.seed, "student-scores", k)
        expert, objective = unwrapped(bank[k])
        own = comparable_losses(expert, rows, text, seed=seed, objective=objective).mean().item()
        pairs.append((comparable_losses(student, rows, text, seed=seed).mean().item(), own))
        counts.append(len(rows))
    means = [sum(pair[i] * n for pair, n in zip(pairs, counts, strict=True)) / sum(counts) for i in (0, 1)]
    return {"student": means[0], "experts": means[1], "clusters": [{"student": s, "expert": e} for s, e in pairs]}
