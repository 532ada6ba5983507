"""Registered experts of other clusters as yardsticks, where no reference is: was this expert trained on its cluster?

With a this expert of cluster k, b a registered expert of cluster j, and L mean losses:

    ahead     log(L_k(b) / L_k(a))                  positive if a beats b on k
    identity  ahead + log(L_j(a) / L_j(b))          0 if both were trained on one cluster, however easy it is

In `identity`, a general advantage of a or b cancels out, and so does the difficulty of k and j.

Experts of one objective are compared by the loss that both were trained on. Experts of two objectives are compared in
the terms that they share (`comparable_losses`), and by `identity` alone, since `ahead` also depends on the objectives.
If clusters hardly resemble each other, experts of the two objectives may degrade differently on foreign clusters, so
that a second expert of j keeps some identity: a wrong cluster is detected less reliably between objectives than within
one.

Experts are compared at like steps. One that has learned its pictures by heart may be behind an early leg of another, on
its own cluster too; and beside an early leg the difficulty of k and j does not cancel out of `identity`.

Experts of two sizes are compared by `identity` alone, since a larger one is ahead by its size. It also specialises
more, so a smaller second expert of j keeps some identity beside a larger one: beside those of its own size it is seen.
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
from paris.experts.models.presets import ModelConfig
from paris.experts.objectives.objectives import Objective


@dataclass(frozen=True)
class Yardstick:
    """Comparison with one registered expert of another cluster."""

    name: str
    identity: float
    """Upper bound at the configured confidence."""
    ahead: float | None
    """Upper bound at the configured confidence; None if the other has another objective or size."""
    gain: float | None
    """The other's gain on its own cluster; None if it has another objective or size."""


def yardsticks_of(case: VerificationCase, step: int, told_apart: set[int]) -> list[OtherCheckpoint]:
    """The registered experts to compare with, by cluster.

    Args:
        case: The submission and its context.
        step: How many steps were submitted: on each cluster the expert that came farthest, but no farther, counts, if
            it came nearly as far.
        told_apart: Clusters of which a reference has already told the submission apart.
    """
    farthest: dict[int, OtherCheckpoint] = {}
    for other in case.others:
        is_alike = case.bounds.min_peer_steps * step <= _steps(case, other) <= step
        is_comparable = is_alike and other.cluster not in {case.task.cluster, *told_apart}
        if other.registered and other.path is not None and is_comparable:
            last = farthest.get(other.cluster)
            farthest[other.cluster] = other if last is None else max(last, other, key=lambda o: _steps(case, o))
    return [farthest[cluster] for cluster in sorted(farthest)]


def _steps(case: VerificationCase, other: OtherCheckpoint) -> int:
    return case.task.steps if other.step is None else other.step


def compare_with_peers(
    case: VerificationCase,
    scoring: Scoring,
    resampled: Resampled,
    weights: Mapping[str, Tensor],
    losses: Losses,
    start: Losses,
    peers: list[OtherCheckpoint],
    checks: Checks,
    *,
    is_gain_known: bool,
) -> None:
    """Check that this is no second expert of another cluster, and ahead of the experts with the same objective.

    Args:
        case: The submission and its context.
        scoring: Scores the registered experts.
        resampled: Resamplings for the confidence.
        weights: The candidate's weights.
        losses: The candidate's losses on all clusters, in terms of its objective.
        start: Losses of the initial weights, in the same terms.
        peers: The registered experts, as `yardsticks_of`.
        checks: Records the measurements.
        is_gain_known: A reference has already said what gain is due.

    Raises:
        CheckFailed: A check failed.
        NotReadyError: A registered expert is missing.
    """
    bounds, own = case.bounds, case.task.cluster
    candidate = losses, _shared(case, scoring, weights, peers)
    yardsticks = [_yardstick(case, scoring, resampled, candidate, start, peer) for peer in peers]
    if not yardsticks:
        return
    sure = f"at {bounds.confidence:.0%} confidence"
    alike = [(one.ahead, one.name) for one in yardsticks if one.ahead is not None]
    if alike:
        ahead, rival = min(alike)
        note = f"log loss on its own cluster by which it is ahead of {rival}, {sure}"
        checks.at_least("ahead-of-peers", ahead, bounds.min_ahead, note)
    else:
        checks.remark("no registered expert of another cluster has its objective and size: compared by identity alone")
    twin = min(yardsticks, key=lambda yardstick: yardstick.identity)
    wanted = max(bounds.min_identity, bounds.min_identity_share * median([one.identity for one in yardsticks]))
    checks.at_least("identity", twin.identity, wanted, f"specialisation against {twin.name}, {sure}")
    gains = [one.gain for one in yardsticks if one.gain is not None]
    if gains and not is_gain_known:
        wanted = bounds.min_peer_gain_share * median(gains)
        gain = upper_bound(gain_over(start, losses, resampled, own), bounds.confidence)
        note = f"gain, against a share of the median gain of registered experts, each on its own cluster, {sure}"
        checks.at_least("gain-of-peers", gain, wanted, note)


def _shared(
    case: VerificationCase, scoring: Scoring, weights: Mapping[str, Tensor], peers: list[OtherCheckpoint]
) -> Losses:
    """The candidate's losses in shared terms, on its own cluster and on those of experts of another objective."""
    others = {peer.cluster for peer in peers if not _is_alike(case, peer)}
    objective = Objective.from_settings(case.task.objective)
    return scoring.losses(weights, {case.task.cluster, *others}, objective, comparable=True) if others else {}


def _yardstick(
    case: VerificationCase,
    scoring: Scoring,
    resampled: Resampled,
    candidate: tuple[Losses, Losses],
    start: Losses,
    peer: OtherCheckpoint,
) -> Yardstick:
    """The comparison with one registered expert.

    Args:
        case: The submission and its context.
        scoring: Scores the registered expert.
        resampled: Resamplings for the confidence.
        candidate: The candidate's losses in terms of its objective, and in shared terms.
        start: Losses of the initial weights in terms of the candidate's objective.
        peer: The registered expert.
    """
    own, confidence, there, is_alike = case.task.cluster, case.bounds.confidence, peer.cluster, _is_alike(case, peer)
    objective = Objective.from_settings(peer.objective)
    config = None if peer.model is None else ModelConfig.from_settings(peer.model)
    theirs = scoring.losses(_weights(case, peer), [own, there], objective, comparable=not is_alike, config=config)
    losses = candidate[0] if is_alike else candidate[1]
    ahead = resampled.log_means(theirs[own], own) - resampled.log_means(losses[own], own)
    behind = resampled.log_means(losses[there], there) - resampled.log_means(theirs[there], there)
    return Yardstick(
        name=f"{peer.task_id}, cluster {there}",
        identity=upper_bound(ahead + behind, confidence),
        ahead=upper_bound(ahead, confidence) if is_alike and config is None else None,
        gain=float(gain_over(start, theirs, resampled, there)[0]) if is_alike and config is None else None,
    )


def _is_alike(case: VerificationCase, peer: OtherCheckpoint) -> bool:
    return Objective.from_settings(peer.objective) == Objective.from_settings(case.task.objective)


def _weights(case: VerificationCase, peer: OtherCheckpoint) -> Mapping[str, Tensor]:
    """Weights of a registered expert, read on use: one expert's are in memory at a time."""
    if peer.path is None:
        raise NotReadyError(f"The weights of {peer.task_id} are not on this machine.", "Start the verification again.")
    return open_trusted(peer.path, case.bounds).state()
