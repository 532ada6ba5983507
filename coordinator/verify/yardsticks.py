"""Registered experts of other clusters as yardsticks: was this expert trained on its own cluster?

With a this expert of cluster k, b a registered expert of cluster j, and L mean losses:

    ahead     log(L_k(b) / L_k(a))                  positive if a beats b on k
    identity  ahead + log(L_j(a) / L_j(b))          0 if both were trained on one cluster, however easy it is

In `identity`, a general advantage of a or b cancels out, and so does the difficulty of k and j.

Experts of one objective are compared by the loss that both were trained on. Experts of two objectives are compared in
the terms that they share (`comparable_losses`), and by `identity` alone, since `ahead` also depends on the objectives.
If clusters hardly resemble each other, experts of the two objectives may degrade differently on foreign clusters, so
that a second expert of j keeps some identity: a wrong cluster is detected less reliably between objectives than within
one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from torch import Tensor

from paris.coordinator.errors import NotReadyError
from paris.coordinator.verify.case import OtherCheckpoint, VerificationCase
from paris.coordinator.verify.report import Checks
from paris.coordinator.verify.scoring import Losses, Scoring
from paris.coordinator.verify.statistics import Resampled, gain_over, upper_bound
from paris.coordinator.verify.tensor_reads import open_trusted
from paris.experts.objectives.objectives import Objective


@dataclass(frozen=True)
class Yardstick:
    """Comparison with one registered expert of another cluster."""

    name: str
    identity: float
    """Upper bound at the configured confidence."""
    ahead: float | None
    """Upper bound at the configured confidence; None if the other has another objective."""
    gain: float | None
    """The other's gain on its own cluster; None if it has another objective."""


def registered_on_other_clusters(case: VerificationCase) -> list[OtherCheckpoint]:
    """The registered experts of other clusters with local files, by cluster."""
    usable = [o for o in case.others if o.registered and o.path is not None and o.cluster != case.task.cluster]
    return sorted(usable, key=lambda other: other.cluster)


def compare_with_peers(
    case: VerificationCase,
    scoring: Scoring,
    resampled: Resampled,
    weights: Mapping[str, Tensor],
    losses: Losses,
    start: Losses,
    checks: Checks,
) -> None:
    """Check that this is no second expert of another cluster, and ahead of the experts with the same objective.

    Args:
        case: The submission and its context.
        scoring: Scores the registered experts.
        resampled: Resamplings for the confidence.
        weights: The candidate's weights.
        losses: The candidate's losses on all clusters, in terms of its objective.
        start: Losses of the initial weights, in the same terms.
        checks: Records the measurements.

    Raises:
        CheckFailed: A check failed.
        NotReadyError: A registered expert is missing.
    """
    bounds, own = case.bounds, case.task.cluster
    yardsticks = _yardsticks(case, scoring, resampled, (losses, _shared(case, scoring, weights)), start)
    if not yardsticks:
        return
    sure = f"at {bounds.confidence:.0%} confidence"
    alike = [(one.ahead, one.name) for one in yardsticks if one.ahead is not None]
    if alike:
        ahead, rival = min(alike)
        note = f"log loss on its own cluster by which it is ahead of {rival}, {sure}"
        checks.at_least("ahead-of-peers", ahead, bounds.min_ahead, note)
    else:
        checks.remark("no registered expert of another cluster learned its objective: compared in shared terms alone")
    twin = min(yardsticks, key=lambda yardstick: yardstick.identity)
    wanted = max(bounds.min_identity, bounds.min_identity_share * median([one.identity for one in yardsticks]))
    checks.at_least("identity", twin.identity, wanted, f"specialisation against {twin.name}, {sure}")
    if gains := [one.gain for one in yardsticks if one.gain is not None]:
        wanted = bounds.min_peer_gain_share * median(gains)
        gain = upper_bound(gain_over(start, losses, resampled, own), bounds.confidence)
        note = f"gain, against a share of the median gain of registered experts, each on its own cluster, {sure}"
        checks.at_least("gain-of-peers", gain, wanted, note)


def _shared(case: VerificationCase, scoring: Scoring, weights: Mapping[str, Tensor]) -> Losses:
    """The candidate's losses in shared terms, on its own cluster and on those of experts of another objective."""
    others = {peer.cluster for peer in registered_on_other_clusters(case) if not _is_alike(case, peer)}
    objective = Objective.from_settings(case.task.objective)
    return scoring.losses(weights, {case.task.cluster, *others}, objective, comparable=True) if others else {}


def _yardsticks(
    case: VerificationCase, scoring: Scoring, resampled: Resampled, candidate: tuple[Losses, Losses], start: Losses
) -> list[Yardstick]:
    """The comparisons with the registered experts of other clusters.

    Args:
        case: The submission and its context.
        scoring: Scores the registered experts.
        resampled: Resamplings for the confidence.
        candidate: The candidate's losses in terms of its objective, and in shared terms.
        start: Losses of the initial weights in terms of the candidate's objective.
    """
    own, confidence, yardsticks = case.task.cluster, case.bounds.confidence, []
    for peer in registered_on_other_clusters(case):
        there, is_alike = peer.cluster, _is_alike(case, peer)
        objective = Objective.from_settings(peer.objective)
        theirs = scoring.losses(_weights(case, peer), [own, there], objective, comparable=not is_alike)
        losses = candidate[0] if is_alike else candidate[1]
        ahead = resampled.log_means(theirs[own], own) - resampled.log_means(losses[own], own)
        behind = resampled.log_means(losses[there], there) - resampled.log_means(theirs[there], there)
        yardsticks.append(
            Yardstick(
                name=f"{peer.task_id}, cluster {there}",
                identity=upper_bound(ahead + behind, confidence),
                ahead=upper_bound(ahead, confidence) if is_alike else None,
                gain=float(gain_over(start, theirs, resampled, there)[0]) if is_alike else None,
            )
        )
    return yardsticks


def _is_alike(case: VerificationCase, peer: OtherCheckpoint) -> bool:
    return Objective.from_settings(peer.objective) == Objective.from_settings(case.task.objective)


def _weights(case: VerificationCase, peer: OtherCheckpoint) -> Mapping[str, Tensor]:
    """Weights of a registered expert, read on use: one expert's are in memory at a time."""
    if peer.path is None:
        raise NotReadyError(f"The weights of {peer.task_id} are not on this machine.", "Start the verification again.")
    return open_trusted(peer.path, case.bounds).state()
