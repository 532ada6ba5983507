"""Rung 4: better than the start on its own cluster, most at home there, and as good as the volunteer says.

The losses are on secret rows. Which cluster a model was trained on cannot be read off its gains alone, because some
clusters are easier than others for every model. So each registered expert of another cluster serves as a yardstick,
in a difference of differences from which the difficulty of both clusters cancels out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from torch import Tensor

from paris.coordinator.verify.case import OtherCheckpoint, VerificationCase
from paris.coordinator.verify.report import Checks
from paris.coordinator.verify.scoring import Losses, Scoring
from paris.coordinator.verify.statistics import Resampled, lower_bound, upper_bound
from paris.coordinator.verify.tensor_reads import TensorFile, open_trusted
from paris.experts.presets import ModelConfig


def climb_skill(
    case: VerificationCase,
    config: ModelConfig,
    file: TensorFile,
    initial: Mapping[str, Tensor],
    claimed_loss: float,
    checks: Checks,
) -> None:
    """Carry out rung 4.

    Args:
        case: The case.
        config: The run's model.
        file: The submitted weights.
        initial: The run's initial weights.
        claimed_loss: The training loss that the volunteer signed.
        checks: Receives what is measured.

    Raises:
        Refused: A check does not pass.
        NotReadyError: Secret rows or a registered expert are missing.
    """
    bounds, own = case.bounds, case.task.cluster
    scoring = Scoring(case, config)
    start = scoring.losses(initial, scoring.clusters)
    weights = file.state()
    losses = scoring.losses(weights, [own])
    rows = {cluster: len(values) for cluster, values in start.items()}
    resampled = Resampled(rows, case.seed, bounds.bootstrap_samples)
    gain = _gain(resampled, losses, start, own)
    note = f"fall of the held-out loss on cluster {own} against the initial weights"
    checks.at_least("gain", float(gain[0]), bounds.min_gain, note)
    losses |= scoring.losses(weights, [cluster for cluster in scoring.clusters if cluster != own])
    _at_home(case, resampled, losses, start, checks)
    yardsticks = _yardsticks(case, scoring, resampled, losses, start)
    if yardsticks:
        _most_at_home(case, yardsticks, checks)
        wanted = bounds.min_peer_gain_share * median([yardstick.gain for yardstick in yardsticks])
        note = "gain, against a share of the median gain of registered experts, each on its own cluster"
        checks.at_least("gain-of-peers", float(gain[0]), wanted, note)
    _as_claimed(case, scoring, weights, claimed_loss, checks)


def _gain(resampled: Resampled, losses: Losses, start: Losses, cluster: int) -> Tensor:
    """`1 - loss / initial loss` on a cluster `[1 + S]`."""
    return 1.0 - (resampled.log_means(losses[cluster], cluster) - resampled.log_means(start[cluster], cluster)).exp()


def _at_home(case: VerificationCase, resampled: Resampled, losses: Losses, start: Losses, checks: Checks) -> None:
    """Where no yardstick stands: the other cluster may not gain far more than its own, beyond what chance explains.

    Honest experts of small, unlike clusters do gain up to 0.14 more on an easier one, so the bound is wide.
    """
    own, bounds = case.task.cluster, case.bounds
    gain = _gain(resampled, losses, start, own)
    measured = {own, *(other.cluster for other in _registered(case))}
    found = []
    for cluster in losses.keys() - measured:
        advantage = _gain(resampled, losses, start, cluster) - gain
        found.append((lower_bound(advantage, bounds.confidence), cluster))
    if found:
        worst, cluster = max(found)
        note = f"by how much cluster {cluster} gains more than its own {own}, at {bounds.confidence:.0%} confidence"
        checks.at_most("home-cluster", worst, bounds.max_foreign_advantage, note)


def _registered(case: VerificationCase) -> list[OtherCheckpoint]:
    """The registered experts of other clusters whose files are here, by cluster."""
    usable = [o for o in case.others if o.registered and o.path is not None and o.cluster != case.task.cluster]
    return sorted(usable, key=lambda other: other.cluster)


@dataclass(frozen=True)
class Yardstick:
    """What the comparison with one registered expert of another cluster gave."""

    name: str
    ahead: float
    """log(their loss / our loss) on our cluster: at most so much, at the asked confidence."""
    identity: float
    """`ahead` plus log(our loss / their loss) on their cluster: at most so much, at the asked confidence."""
    gain: float
    """Their gain on their own cluster."""


def _yardsticks(
    case: VerificationCase, scoring: Scoring, resampled: Resampled, losses: Losses, start: Losses
) -> list[Yardstick]:
    """Compare with every registered expert of another cluster.

    With a this expert on its cluster k, b the other on its cluster j, and L mean losses:
    `identity = log(L_k(b) / L_k(a)) + log(L_j(a) / L_j(b))`. Two models trained on one cluster have identity 0, however
    much easier that cluster is than the other.
    """
    own, confidence = case.task.cluster, case.bounds.confidence
    found = []
    for peer in _registered(case):
        if peer.path is None:
            continue
        theirs = scoring.losses(open_trusted(peer.path, case.bounds).state(), [own, peer.cluster])
        ahead = resampled.log_means(theirs[own], own) - resampled.log_means(losses[own], own)
        there = peer.cluster
        behind = resampled.log_means(losses[there], there) - resampled.log_means(theirs[there], there)
        identity = upper_bound(ahead + behind, confidence)
        gain = float(_gain(resampled, theirs, start, there)[0])
        found.append(Yardstick(f"{peer.task_id}, cluster {there}", upper_bound(ahead, confidence), identity, gain))
    return found


def _most_at_home(case: VerificationCase, yardsticks: list[Yardstick], checks: Checks) -> None:
    """On its own cluster it beats the others' experts, and it is no second expert of any other cluster."""
    bounds = case.bounds
    rival = min(yardsticks, key=lambda yardstick: yardstick.ahead)
    note = f"log loss on its own cluster by which it is ahead of {rival.name}, at {bounds.confidence:.0%} confidence"
    checks.at_least("ahead-of-peers", rival.ahead, 0.0, note)
    twin = min(yardsticks, key=lambda yardstick: yardstick.identity)
    usual = median([yardstick.identity for yardstick in yardsticks])
    wanted = max(bounds.min_identity, bounds.min_identity_share * usual)
    note = f"specialisation against {twin.name}, at {bounds.confidence:.0%} confidence"
    checks.at_least("identity", twin.identity, wanted, note)


def _as_claimed(
    case: VerificationCase, scoring: Scoring, weights: Mapping[str, Tensor], claimed_loss: float, checks: Checks
) -> None:
    """The loss on batches of its own training is about the loss that the volunteer signed."""
    if not case.shards:
        checks.remark("the claimed loss was not checked: no published shards are at hand")
        return
    measured = scoring.training_loss(weights)
    ratio = math.inf if claimed_loss <= 0 else max(measured / claimed_loss, claimed_loss / measured)
    note = f"factor between the claimed training loss {claimed_loss:.4g} and the measured {measured:.4g}"
    checks.at_most("claimed-loss", ratio, case.bounds.max_claim_ratio, note)
