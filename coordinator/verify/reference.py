"""A submission against trusted trainings: has it learned what so many steps teach, where, and from captions?

The bar on a cluster's own curve is what the reference had learned after `min_reference_share` of the submission's
steps. So it needs no tuning to a model or data: how much the last fifth of the steps teaches is read off the curve.
Losses between two points are interpolated, which asks for less than the true curve, because curves of loss are convex.

Shapes: N rows of a cluster, S resamplings.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from paris.coordinator.verify.case import VerificationCase
from paris.coordinator.verify.curves import ReferenceCurve, ScoredPoint
from paris.coordinator.verify.report import Checks
from paris.coordinator.verify.scoring import Losses
from paris.coordinator.verify.statistics import Resampled, gain_over, lower_bound, upper_bound
from paris.experts.objectives.objectives import Objective


class Trace:
    """A curve as a function of the step: the initial weights at 0, linear between points, constant after the last.

    Args:
        curve: The curve, or the part of it around the wanted steps.
        start: Losses of the initial weights on all clusters.
    """

    def __init__(self, curve: ReferenceCurve, start: Losses) -> None:
        self.cluster, self.last_step, self._points, self._start = curve.cluster, curve.last_step, curve.points, start
        self.name = "audited work" if curve.audited else "the reference"

    def knows(self, cluster: int) -> bool:
        """Whether the training was also scored on this cluster."""
        return all(cluster in point.heldout for point in self._points)

    def steps(self, first: float, last: float) -> list[float]:
        """Two steps, and those of the points between them."""
        return [first, *(point.step for point in self._points if first < point.step < last), last]

    def losses(self, step: float, cluster: int) -> Tensor:
        """Losses on the secret rows of a cluster after some steps, float64 `[N]`."""
        below, before = self._start[cluster].double(), 0
        for point in self._points:
            here = torch.tensor(point.heldout[cluster], dtype=torch.float64)
            if point.step >= step:
                return torch.lerp(below, here, (step - before) / (point.step - before))
            below, before = here, point.step
        return below

    def points(self, first: float, last: float) -> list[ScoredPoint]:
        """The points between two steps, these included."""
        return [point for point in self._points if first <= point.step <= last]


class Reference:
    """The trusted trainings that a submission is compared with.

    Args:
        case: The submission and its context.
        start: Losses of the initial weights on all clusters, in terms of the task's objective.
        resampled: Resamplings for the confidence.
        step: How many steps were submitted.
    """

    def __init__(self, case: VerificationCase, start: Losses, resampled: Resampled, step: int) -> None:
        self._bounds, self._start, self._resampled, self._step = case.bounds, start, resampled, step
        self._first = self._bounds.min_reference_share * step
        objective = Objective.from_settings(case.task.objective)
        alike = [curve for curve in case.curves if Objective.from_settings(curve.objective) == objective]
        fitting = [Trace(curve, start) for curve in alike if _fits(curve, start)]
        self._traces = {trace.cluster: trace for trace in fitting if trace.last_step >= self._first}
        self._own_cluster = case.task.cluster

    @property
    def is_there(self) -> bool:
        """Whether there is any trusted training that came so far."""
        return bool(self._traces)

    @property
    def own_point(self) -> ScoredPoint | None:
        """The trusted training of the own cluster at the submission's step or shortly before; None: no score."""
        own = self._traces.get(self._own_cluster)
        points = own.points(self._first, self._step) if own else []
        return points[-1] if points else None

    def check_gain(self, losses: Mapping[int, Tensor], checks: Checks) -> None:
        """Check that it has learned as much on its own cluster as a trusted training had after most of its steps.

        Args:
            losses: Losses of the submission on its own cluster.
            checks: Records the measurement.

        Raises:
            CheckFailed: It has learned less, beyond chance.
        """
        bounds, own = self._bounds, self._own_cluster
        gain, sure = gain_over(self._start, losses, self._resampled, own), f"at {bounds.confidence:.0%} confidence"
        if own in self._traces:
            bar = self._bar(self._traces[own])
            figure = float(bar[0]) + upper_bound(gain - bar, bounds.confidence)
            name = self._traces[own].name
            note = f"gain, against that of {name} after {self._first:.0f} of its {self._step} steps, {sure}"
            checks.at_least("gain-of-reference", figure, float(bar[0]), note)
        elif self._traces:
            lowest = min(float(self._bar(trace)[0]) for trace in self._traces.values())
            note = f"gain, against a share of the lowest of the references, each on its own other cluster, {sure}"
            wanted = bounds.min_peer_gain_share * lowest
            checks.at_least("gain-of-references", upper_bound(gain, bounds.confidence), wanted, note)
        else:
            checks.remark("no reference: its skill was compared with registered experts alone")

    def check_identity(self, losses: Losses, checks: Checks) -> set[int]:
        """Check that it is as much an expert of its own cluster, and not of another, as the reference is.

        Args:
            losses: Losses of the submission on all clusters.
            checks: Records the measurement.

        Returns:
            The other clusters for which it was checked.

        Raises:
            CheckFailed: It has a smaller share of the reference's specialisation, beyond chance.
        """
        bounds, own, compared = self._bounds, self._traces.get(self._own_cluster), []
        for there, other in self._traces.items():
            if own is None or other is own or not (own.knows(there) and other.knows(own.cluster)):
                continue
            theirs = {cluster: other.losses(self._step, cluster) for cluster in (own.cluster, there)}
            ours = {cluster: own.losses(self._step, cluster) for cluster in (own.cluster, there)}
            known = bounds.min_reference_identity_share * self._identity(ours, theirs, there)
            difference = upper_bound(self._identity(losses, theirs, there) - known, bounds.confidence)
            if lower_bound(known, bounds.confidence) > 0:
                compared.append((difference, float(known[0]), there))
            else:
                checks.remark(f"clusters {own.cluster} and {there} are one to the reference: not told apart")
                compared.append((0.0, 0.0, there))
        if compared:
            difference, wanted, there = min(compared)
            sure = f"at {bounds.confidence:.0%} confidence"
            note = f"specialisation against the reference of cluster {there}, {sure}"
            checks.at_least("identity-of-reference", wanted + difference, wanted, note)
        return {there for _, _, there in compared}

    def check_captions(self, losses: Losses, shuffled: Tensor, checks: Checks) -> None:
        """Check that it draws what captions say, as far as the reference does.

        Args:
            losses: Losses of the submission on its own cluster.
            shuffled: Losses on the same rows with the captions of other rows `[N]`.
            checks: Records the measurement.

        Raises:
            CheckFailed: Its loss depends less on the captions, beyond chance; or is lower with wrong ones.
        """
        bounds, own = self._bounds, self._own_cluster
        effect, sure = self._effect(shuffled, losses[own]), f"at {bounds.confidence:.0%} confidence"
        note = f"rise of the log loss with the captions of other rows, {sure}"
        trace = self._traces.get(own)
        points = trace.points(self._first, self._step) if trace else []
        pairs = [(_tensor(point.shuffled), _tensor(point.heldout[own])) for point in points if point.shuffled]
        known = [self._effect(*pair) for pair in pairs]
        wanted = bounds.min_caption_share * min(known, key=lambda one: float(one[0])) if known else effect * 0
        if float(wanted[0]) > 0 and lower_bound(wanted, bounds.confidence) > 0:
            figure = float(wanted[0]) + upper_bound(effect - wanted, bounds.confidence)
            checks.at_least("captions", figure, float(wanted[0]), note)
            return
        checks.at_least("captions", upper_bound(effect, bounds.confidence), -bounds.max_caption_harm, note)
        if known:
            checks.remark("captions say nothing to the reference")

    def _bar(self, trace: Trace) -> Tensor:
        """The lowest gain of a trusted training between most of the submitted steps and all of them `[1 + S]`."""
        here = trace.cluster
        gains = [
            gain_over(self._start, {here: trace.losses(step, here)}, self._resampled, here)
            for step in trace.steps(self._first, self._step)
        ]
        return min(gains, key=lambda gain: float(gain[0]))

    def _identity(self, one: Losses, other: Losses, there: int) -> Tensor:
        """Specialisation as in yardsticks.py `[1 + S]`."""
        means, own = self._resampled.log_means, self._own_cluster
        ahead = means(other[own], own) - means(one[own], own)
        return ahead + means(one[there], there) - means(other[there], there)

    def _effect(self, shuffled: Tensor, right: Tensor) -> Tensor:
        own = self._own_cluster
        return self._resampled.log_means(shuffled, own) - self._resampled.log_means(right, own)


def check_against_head(
    case: VerificationCase, losses: Losses, claimed_loss: float, resampled: Resampled, checks: Checks
) -> None:
    """Check that a leg did not end worse than it began.

    Where the training loss falls while the secret rows' rises, the expert learns its pictures by heart, which is no
    fault of the volunteer.

    Args:
        case: The submission and its context.
        losses: On the secret rows of its cluster.
        claimed_loss: The training loss that the volunteer signed; `check_claim` holds it to the weights.
        resampled: Resamplings for the confidence.
        checks: Records the measurement.

    Raises:
        CheckFailed: It did, beyond chance.
    """
    own, bounds = case.task.cluster, case.bounds
    if case.head is None or len(case.head.heldout.get(own, ())) != len(losses[own]):
        return
    began = _tensor(case.head.heldout[own])
    rise = lower_bound(resampled.log_means(losses[own], own) - resampled.log_means(began, own), bounds.confidence)
    if rise > bounds.max_leg_rise and claimed_loss < case.head.training_loss:
        checks.remark(f"learned by heart since step {case.head.step}: the training loss fell, that of secret rows rose")
        return
    note = f"rise of the log loss since step {case.head.step}, where it began, at {bounds.confidence:.0%} confidence"
    checks.at_most("worse-than-head", rise, bounds.max_leg_rise, note)


def _fits(curve: ReferenceCurve, start: Losses) -> bool:
    """Whether a curve has points, and was scored on as many rows as are drawn now."""
    return bool(curve.points) and all(
        cluster in start and len(rows) == len(start[cluster])
        for point in curve.points
        for cluster, rows in point.heldout.items()
    )


def _tensor(losses: tuple[float, ...]) -> Tensor:
    return torch.tensor(losses, dtype=torch.float64)
