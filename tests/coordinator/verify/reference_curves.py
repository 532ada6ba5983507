"""Trusted trainings of the small run: experts with an order and noise of their own, scored on the way."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from safetensors.torch import load_file
from verify_attempt import Attempt
from verify_world import MODEL, NUM_CLUSTERS, STEPS, TRAINING, World

from paris.coordinator.verify.case import VerificationCase
from paris.coordinator.verify.curves import ReferenceCurve
from paris.coordinator.verify.report import CheckFailed, Checks
from paris.coordinator.verify.scoring import Scoring, SecretRows, scored_point
from paris.coordinator.verify.skill_rung import check_skill
from paris.coordinator.verify.tensor_reads import open_trusted
from paris.experts.frozen.codec import CodecConfig
from paris.experts.models.initial_weights import InitialWeights
from paris.experts.objectives.objectives import FLOW_MATCHING
from paris.experts.training.config import TrainingTask
from paris.experts.training.expert_training import ExpertTraining

EVERY = STEPS // 5
_curves: dict[tuple[Path, InitialWeights | None, int], ReferenceCurve] = {}


def curves_of(world: World, clusters: Iterable[int] = range(NUM_CLUSTERS)) -> tuple[ReferenceCurve, ...]:
    """A curve of each of these clusters, made once."""
    made = []
    for cluster in clusters:
        key = (world.folder, world.start, cluster)
        if key not in _curves:
            _curves[key] = curve(world, cluster)
        made.append(_curves[key])
    return tuple(made)


def curve(world: World, cluster: int, name: str = "reference", every: int = EVERY) -> ReferenceCurve:
    """The scores of an expert at every so many steps; another order and noise for each name."""
    scoring, points = Scoring(SecretRows.of(case_of(world, cluster)), MODEL), []
    training = TRAINING.model_copy(update={"steps": STEPS, "snapshot_every": every})
    task = TrainingTask(
        run_id=world.run_id,
        seed=world.spec.seed,
        task_id=f"{name}-{cluster}",
        model=MODEL,
        training=training,
        text=world.text,
        codec=CodecConfig(),
        shard_rows=(40, 40),
        initial_weights=world.start,
    )
    work = Path(tempfile.mkdtemp(prefix="reference-", dir=world.folder))

    def score(progress) -> None:
        if progress.step and progress.step == progress.commitment_step:
            weights = load_file(work / "snapshots" / f"step-{progress.step:08d}" / "ema.safetensors")
            losses = scoring.losses(weights, scoring.clusters, FLOW_MATCHING)
            shuffled = scoring.shuffled_losses(weights, cluster, FLOW_MATCHING)
            points.append(scored_point(progress.step, progress.loss, losses, shuffled))

    ExpertTraining(task, work, world.shards(cluster).__getitem__, world.folder).run(score, lambda: False)
    return ReferenceCurve(cluster=cluster, points=tuple(points))


def case_of(world: World, cluster: int, **changes) -> VerificationCase:
    """A case without a pull request."""
    return Attempt.honest(world, cluster)._case("", (), 0.0, changes)


def skill(case: VerificationCase, world: World, weights: bytes, claim: tuple[float, int]) -> tuple[str, dict, Checks]:
    """The skill rung alone: the check that refuses, or an empty text; the figures; all that was recorded."""
    path = case.work_dir / "weights.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(weights)
    checks = Checks()
    try:
        check_skill(case, MODEL, open_trusted(path, case.bounds), world.initial(), claim, checks)
        refused = ""
    except CheckFailed as failed:
        refused = failed.check.name
    return refused, {check.name: check.figure for check in checks.made}, checks
