"""Registered experts of other clusters as yardsticks: is this one most at home where it says?

With a this expert on its cluster k, b a registered one on its cluster j, and L mean losses:

    ahead     log(L_k(b) / L_k(a))                  a beats b on k
    identity  ahead + log(L_j(a) / L_j(b))          0 where both were trained on one cluster, however easy that is

In `identity` all cancels out that a or b does better everywhere, and all that is hard about k or j for everyone.

Experts of one objective are compared by the loss that both were trained on, those of two in the terms that they share
(`comparable_losses`), and then by `identity` alone: which of two objectives is ahead says something of the objectives
too. Where clusters hardly resemble each other, an expert of one objective may err more away from home than one of the
other, and a second expert of j then keeps some identity: between objectives a wrong cluster is seen less surely than
within one.
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
    """What the comparison with one registered expert of another cluster gave."""

    name: str
    identity: float
    """At most so much, at the asked confidence."""
    ahead: float | None
    """Likewise; None where the other learned another objective."""
    gain: float | None
    """The other's gain on its own cluster; None where it learned another objective."""


def registered_elsewhere(case: VerificationCase) -> list[OtherCheckpoint]:
    """The registered experts of other clusters whose files are here, by cluster."""
    usable = [o for o in case.others if o.registered and o.path is not None and o.cluster != case.task.cluster]
    return sorted(usable, key=lambda other: other.cluster)


def hold_against_peers(
    case: VerificationCase,
    scoring: Scoring,
    resampled: Resampled,
    weights: Mapping[str, Tensor],
    losses: Losses,
    start: Losses,
    checks: Checks,
) -> None:
    """Compare with every registered expert of another cluster: ahead of those alike, a second expert of none.

    Args:
        case: The case.
        scoring: Scores the others.
        resampled: For the confidence.
        weights: The candidate's.
        losses: The candidate's on all clusters, in its own terms.
        start: The initial weights', likewise.
        checks: Receives what is measured.

    Raises:
        Refused: A check does not pass.
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
        checks.at_least("ahead-of-peers", ahead, 0.0, note)
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
    others = {peer.cluster for peer in registered_elsewhere(case) if not _is_alike(case, peer)}
    objective = Objective.from_settings(case.task.objective)
    return scoring.losses(weights, {case.task.cluster, *others}, objective, comparable=True) if others else {}


def _yardsticks(
    case: VerificationCase, scoring: Scoring, resampled: Resampled, ours: tuple[Losses, Losses], start: Losses
) -> list[Yardstick]:
    """One a registered expert of another cluster.

    Args:
        case: The case.
        scoring: Scores the others.
        resampled: For the confidence.
        ours: The candidate's losses in its own terms, and in shared ones.
        start: The initial weights' losses in the candidate's own terms.
    """
    own, confidence, found = case.task.cluster, case.bounds.confidence, []
    for peer in registered_elsewhere(case):
        there, is_alike = peer.cluster, _is_alike(case, peer)
        objective = Objective.from_settings(peer.objective)
        theirs = scoring.losses(_weights(case, peer), [own, there], objective, comparable=not is_alike)
        losses = ours[0] if is_alike else ours[1]
        ahead = resampled.log_means(theirs[own], own) - resampled.log_means(losses[own], own)
        behind = resampled.log_means(losses[there], there) - resampled.log_means(theirs[there], there)
        found.append(
            Yardstick(
                name=f"{peer.task_id}, cluster {there}",
                identity=upper_bound(ahead + behind, confidence),
                ahead=upper_bound(ahead, confidence) if is_alike else None,
                gain=float(gain_over(start, theirs, resampled, there)[0]) if is_alike else None,
            )
        )
    return found


def _is_alike(case: VerificationCase, peer: OtherCheckpoint) -> bool:
    return Objective.from_settings(peer.objective) == Objective.from_settings(case.task.objective)


def _weights(case: VerificationCase, peer: OtherCheckpoint) -> Mapping[str, Tensor]:
    """Read when they are needed: one other expert's weights are in memory at a time."""
    if peer.path is None:
        raise NotReadyError(f"The weights of {peer.task_id} are not here.", "Start the verification again.")
    return open_trusted(peer.path, case.bounds).state()
