"""Rung 4: better than the initial weights on its own cluster, best there, and as good as the volunteer claims.

The losses are on secret rows, in the terms of the task's objective. The gains alone do not show which cluster a model
was trained on, because some clusters are easier than others for every model. So each registered expert of another
cluster serves as a yardstick (`yardsticks.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from paris.coordinator.verify.case import VerificationCase
from paris.coordinator.verify.report import Checks
from paris.coordinator.verify.scoring import Losses, Scoring
from paris.coordinator.verify.statistics import Resampled, gain_over, lower_bound
from paris.coordinator.verify.tensor_reads import TensorFile
from paris.coordinator.verify.yardsticks import compare_with_peers, registered_on_other_clusters
from paris.experts.models.presets import ModelConfig
from paris.experts.objectives.objectives import FLOW_MATCHING, Objective


def check_skill(
    case: VerificationCase,
    config: ModelConfig,
    file: TensorFile,
    initial: Mapping[str, Tensor],
    claimed_loss: float,
    checks: Checks,
) -> None:
    """Check gain, specialisation and claimed loss.

    Args:
        case: The submission and its context.
        config: The run's model.
        file: The submitted weights.
        initial: The run's initial weights.
        claimed_loss: The training loss that the volunteer signed.
        checks: Records the measurements.

    Raises:
        CheckFailed: A check failed.
        NotReadyError: Secret rows or a registered expert are missing.
    """
    bounds, own, objective = case.bounds, case.task.cluster, Objective.from_settings(case.task.objective)
    scoring = Scoring(case, config)
    start = scoring.losses(initial, scoring.clusters, objective)
    weights = file.state()
    losses = scoring.losses(weights, [own], objective)
    rows = {cluster: len(values) for cluster, values in start.items()}
    resampled = Resampled(rows, case.seed, bounds.bootstrap_samples)
    gain = gain_over(start, losses, resampled, own)
    note = f"fall of the held-out loss on cluster {own} against the initial weights"
    checks.at_least("gain", float(gain[0]), bounds.min_gain, note)
    if objective.kind == "epsilon":
        _gain_in_sampling(case, scoring, resampled, weights, initial, checks)
    losses |= scoring.losses(weights, [cluster for cluster in scoring.clusters if cluster != own], objective)
    _home_cluster(case, resampled, losses, start, checks)
    compare_with_peers(case, scoring, resampled, weights, losses, start, checks)
    _claimed_loss(case, scoring, weights, claimed_loss, checks)


def _gain_in_sampling(
    case: VerificationCase,
    scoring: Scoring,
    resampled: Resampled,
    weights: Mapping[str, Tensor],
    initial: Mapping[str, Tensor],
    checks: Checks,
) -> None:
    """Check that an epsilon expert's implied velocities beat zero: those of one trained on velocities would not."""
    own, objective = case.task.cluster, Objective.from_settings(case.task.objective)
    start = scoring.losses(initial, [own], FLOW_MATCHING, comparable=True)
    losses = scoring.losses(weights, [own], objective, comparable=True)
    note = "fall of the error of the noise that its velocities imply, against the initial weights' zero velocity"
    gain = float(gain_over(start, losses, resampled, own)[0])
    checks.at_least("gain-in-sampling", gain, case.bounds.min_gain, note)


def _home_cluster(case: VerificationCase, resampled: Resampled, losses: Losses, start: Losses, checks: Checks) -> None:
    """Check the clusters without a yardstick: the gain on none may exceed the gain on its own by far, beyond chance.

    Honest experts of small, unlike clusters gain up to 0.14 more on an easier one, so the bound is wide.
    """
    own, bounds = case.task.cluster, case.bounds
    gain = gain_over(start, losses, resampled, own)
    measured = {own, *(other.cluster for other in registered_on_other_clusters(case))}
    advantages = []
    for cluster in losses.keys() - measured:
        advantage = gain_over(start, losses, resampled, cluster) - gain
        advantages.append((lower_bound(advantage, bounds.confidence), cluster))
    if advantages:
        worst, cluster = max(advantages)
        note = f"by how much cluster {cluster} gains more than its own {own}, at {bounds.confidence:.0%} confidence"
        checks.at_most("home-cluster", worst, bounds.max_foreign_advantage, note)


def _claimed_loss(
    case: VerificationCase, scoring: Scoring, weights: Mapping[str, Tensor], claimed_loss: float, checks: Checks
) -> None:
    """Check the loss on batches of its own training against the loss that the volunteer signed."""
    if not case.shards:
        checks.remark("the claimed loss was not checked: no published shards are at hand")
        return
    measured = scoring.training_loss(weights)
    ratio = math.inf if claimed_loss <= 0 else max(measured / claimed_loss, claimed_loss / measured)
    note = f"factor between the claimed training loss {claimed_loss:.4g} and the measured {measured:.4g}"
    checks.at_most("claimed-loss", ratio, case.bounds.max_claim_ratio, note)
