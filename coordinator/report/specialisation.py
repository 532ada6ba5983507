"""How well each expert does on every cluster: the held-out losses that its verification measured.

They are in the reports of the verifications, row by row and secret; only means to four digits leave this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from pydantic import ValidationError

from paris.coordinator.decisions.last_work import by_cluster, evenly, judged_lease
from paris.coordinator.state.model import State
from paris.coordinator.verify.report import Report

MOST = 16
"""Experts in a matrix; of more, so many are taken evenly over the clusters."""


@dataclass(frozen=True)
class ExpertScores:
    """One expert's losses."""

    task_id: str
    cluster: int
    step: int
    """That were verified when it was scored."""
    objective: str
    """Losses of different objectives are not comparable."""
    losses: tuple[float | None, ...]
    """Mean held-out loss on each cluster of the matrix; None: not measured."""
    ratios: tuple[float | None, ...]
    """Each loss over the least of the experts with this objective on that cluster, 1 and more."""


@dataclass(frozen=True)
class Matrix:
    """Losses of experts on each other's clusters."""

    clusters: tuple[int, ...]
    rows: tuple[ExpertScores, ...]
    num_scored: int
    """Experts that have scores, in the matrix or not."""

    @property
    def num_at_home(self) -> int:
        """How many experts of the matrix have the least loss of their objective on their own cluster."""
        return sum(row.ratios[self.clusters.index(row.cluster)] == 1 for row in self.rows)


class SkillReports:
    """The scores in the reports of a run's verifications; each report is read once.

    Args:
        folder: `verify` of the run directory.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, tuple[int, dict[int, float]] | None] = {}

    def matrix(self, state: State, most: int = MOST) -> Matrix:
        """The losses of registered experts, and of others after their last verified leg.

        Args:
            state: The run's state.
            most: At most so many experts and clusters.
        """
        scored = [(task, lease_id) for task in by_cluster(state) if (lease_id := judged_lease(task))]
        chosen = evenly(scored, most)
        self._known = {lease_id: self._means(lease_id) for _, lease_id in chosen}
        found = [(task, known) for task, lease_id in chosen if (known := self._known[lease_id]) is not None]
        clusters = tuple(task.task.cluster for task, _ in found)
        losses = [tuple(means.get(cluster) for cluster in clusters) for _, (_, means) in found]
        kinds = [str(task.task.objective.get("kind", "flow")) for task, _ in found]
        rows = tuple(
            ExpertScores(task.task.task_id, task.task.cluster, step, kind, own, _ratios(own, kind, losses, kinds))
            for (task, (step, _)), kind, own in zip(found, kinds, losses, strict=True)
        )
        return Matrix(clusters, rows, len(scored))

    def _means(self, lease_id: str) -> tuple[int, dict[int, float]] | None:
        """Step and mean losses by cluster; None where the report is gone or has no scores."""
        if self._known.get(lease_id) is not None:
            return self._known[lease_id]
        try:
            report = Report.model_validate_json((self._folder / lease_id / "report.json").read_bytes())
        except (OSError, ValidationError):
            return None
        if report.scores is None:
            return None
        return report.scores.step, {
            cluster: float(f"{fmean(losses):.4g}") for cluster, losses in report.scores.heldout.items() if losses
        }


def _ratios(
    own: tuple[float | None, ...], kind: str, losses: list[tuple[float | None, ...]], kinds: list[str]
) -> tuple[float | None, ...]:
    """Each loss over the least on its cluster, of the experts with one objective."""
    found: list[float | None] = []
    for place, loss in enumerate(own):
        alike = [row[place] for row, other in zip(losses, kinds, strict=True) if other == kind]
        least = min(value for value in alike if value is not None) if loss is not None else None
        found.append(loss / least if loss is not None and least else None)
    return tuple(found)
