"""Rung 4: better than the initial weights on its own cluster, best there, and as good as the volunteer claims.

The losses are on secret rows, in the terms of the task's objective. A trusted training of the cluster says what so many
steps teach (`reference.py`). Without one, each registered expert of another cluster serves as a yardstick
(`yardsticks.py`): the gains alone do not show which cluster a model was trained on, because some clusters are easier
than others for every model.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from paris.coordinator.errors import NotReadyError
from paris.coordinator.verify.case import VerificationCase
from paris.coordinator.verify.claims import check_claim
from paris.coordinator.verify.curves import ScoredPoint
from paris.coordinator.verify.more_words import remark_on_words
from paris.coordinator.verify.reference import Reference, check_against_head
from paris.coordinator.verify.report import Checks
from paris.coordinator.verify.scoring import Losses, Scoring, SecretRows, scored_point
from paris.coordinator.verify.statistics import Resampled, gain_over, lower_bound
from paris.coordinator.verify.tensor_reads import TensorFile
from paris.coordinator.verify.yardsticks import compare_with_peers, yardsticks_of
from paris.experts.models.presets import ModelConfig
from paris.experts.objectives.objectives import FLOW_MATCHING, Objective


def check_skill(
    case: VerificationCase,
    config: ModelConfig,
    file: TensorFile,
    initial: Mapping[str, Tensor],
    claim: tuple[float, int],
    checks: Checks,
) -> ScoredPoint:
    """Check gain, captions, specialisation and claimed loss.

    Args:
        case: The submission and its context.
        config: The run's model.
        file: The submitted weights.
        initial: The run's initial weights.
        claim: The training loss that the volunteer signed, and the step at which it was reached.
        checks: Records the measurements.

    Returns:
        The scores, to compare others with.

    Raises:
        CheckFailed: A check failed.
        NotReadyError: Secret rows or a registered expert are missing.
    """
    return _Skill(case, Scoring(SecretRows.of(case), config), file.state(), initial, claim, checks).check()


class _Skill:
    """The scores of one submission, and what they are compared with."""

    def __init__(
        self,
        case: VerificationCase,
        scoring: Scoring,
        weights: Mapping[str, Tensor],
        initial: Mapping[str, Tensor],
        claim: tuple[float, int],
        checks: Checks,
    ) -> None:
        self._case, self._scoring, self._checks = case, scoring, checks
        self._weights, self._initial, self._claim = weights, initial, claim
        self._own, self._objective = case.task.cluster, Objective.from_settings(case.task.objective)
        if self._own not in scoring.clusters:
            raise NotReadyError(f"Cluster {self._own} has no held-out rows.", "Prepare the run's data again.")
        self._start = scoring.losses(initial, scoring.clusters, self._objective)
        rows = {cluster: len(values) for cluster, values in self._start.items()}
        self._resampled = Resampled(rows, case.seed, case.bounds.bootstrap_samples)
        self._reference = Reference(case, self._start, self._resampled, claim[1])
        self._min_gain = case.bounds.min_gain * min(1.0, claim[1] / case.task.steps)  # early steps gain the most

    def check(self) -> ScoredPoint:
        case, checks, own = self._case, self._checks, self._own
        losses = self._scoring.losses(self._weights, [own], self._objective)
        note = f"fall of the held-out loss on cluster {own} against the initial weights"
        gain = float(gain_over(self._start, losses, self._resampled, own)[0])
        checks.at_least("gain", gain, self._min_gain, note)
        if self._objective.kind == "epsilon":
            self._gain_in_sampling()
        check_against_head(case, losses, self._claim[0], self._resampled, checks)
        self._reference.check_gain(losses, checks)
        shuffled = self._scoring.shuffled_losses(self._weights, own, self._objective)
        if shuffled is not None:
            self._reference.check_captions(losses, shuffled, checks)
        foreign = [cluster for cluster in self._scoring.clusters if cluster != own]
        losses |= self._scoring.losses(self._weights, foreign, self._objective)
        self._specialisation(losses)
        check_claim(case, self._scoring, self._weights, self._claim, self._reference.own_point, checks)
        remark_on_words(case, self._scoring, self._weights, self._objective, checks)
        claimed, step = self._claim
        return scored_point(step, claimed, losses, shuffled)

    def _gain_in_sampling(self) -> None:
        """Check that an epsilon expert's implied velocities beat zero: those of one trained on velocities would not."""
        own = self._own
        start = self._scoring.losses(self._initial, [own], FLOW_MATCHING, comparable=True)
        losses = self._scoring.losses(self._weights, [own], self._objective, comparable=True)
        note = "fall of the error of the noise that its velocities imply, against the initial weights' zero velocity"
        gain = float(gain_over(start, losses, self._resampled, own)[0])
        self._checks.at_least("gain-in-sampling", gain, self._min_gain, note)

    def _specialisation(self, losses: Losses) -> None:
        """Check that it is an expert of its own cluster: by the reference, by registered experts, by its gains."""
        case, checks = self._case, self._checks
        told_apart = self._reference.check_identity(losses, checks)
        peers = yardsticks_of(case, self._claim[1], told_apart)
        alike = (peer.cluster for peer in peers if peer.model is None)
        self._home_cluster(losses, {self._own, *told_apart, *alike})
        compare_with_peers(
            case,
            self._scoring,
            self._resampled,
            self._weights,
            losses,
            self._start,
            peers,
            checks,
            is_gain_known=self._reference.is_there,
        )

    def _home_cluster(self, losses: Losses, measured: set[int]) -> None:
        """Check the other clusters: the gain on none may exceed the gain on its own by far, beyond chance.

        Honest experts of small, unlike clusters gain up to 0.14 more on an easier one, so the bound is wide.
        """
        own, bounds = self._own, self._case.bounds
        gain = gain_over(self._start, losses, self._resampled, own)
        advantages = []
        for cluster in losses.keys() - measured:
            advantage = gain_over(self._start, losses, self._resampled, cluster) - gain
            advantages.append((lower_bound(advantage, bounds.confidence), cluster))
        if advantages:
            worst, cluster = max(advantages)
            note = f"by how much cluster {cluster} gains more than its own {own}, at {bounds.confidence:.0%} confidence"
            self._checks.at_most("home-cluster", worst, bounds.max_foreign_advantage, note)
