"""Which trusted trainings a submission is compared with: the organiser's reference, and audited submissions.

A submission counts as audited when a stretch of it was trained again with the same result. Its scores are in the report
of its verification.
"""

from __future__ import annotations

import logging

from paris.coordinator.errors import WorkerError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.model import LeaseState, State, SubmissionState
from paris.coordinator.verify import Report, read_report
from paris.coordinator.verify.bounds import VerificationBounds
from paris.coordinator.verify.curves import ReferenceCurve, ScoredPoint
from paris.coordinator.verify.reference_file import made_of, read_reference
from paris.protocol.lanes import expert_of

logger = logging.getLogger(__name__)


def reference_curves(
    run: RunDir, state: State, step: int, judged: str, size: int | None = None
) -> tuple[ReferenceCurve, ...]:
    """The curves for a submission, cut to what is needed at its step; the organiser's own come first.

    Args:
        run: The run directory.
        state: Holds the audited submissions.
        step: How many steps were submitted.
        judged: Who submitted them: nobody's own work is a reference for it.
        size: Of the submitted expert: what others of the size had learned is due. The organiser's own have the run's
            model.

    Raises:
        RunDirError: data/reference.json is damaged.
        NewerFileError: A newer version wrote it.
    """
    curves = _audited(run, state, judged, size)
    for cluster, stored in (read_reference(run) if size is None else {}).items():
        if stored.made_of == made_of(run, cluster):
            curves[cluster] = stored.curve
        else:
            logger.warning("The reference of cluster %d is of other data or settings: it is not used.", cluster)
    share = VerificationBounds.model_validate(run.config.verify_settings).min_reference_share
    return tuple(curves[cluster].around(share * step, step) for cluster in sorted(curves))


def head_scores(run: RunDir, state: State, held: LeaseState) -> ScoredPoint | None:
    """The scores of the verified state that a lease starts from; None if there is none, or its report is gone."""
    for known in state.submissions.values():
        is_head = (
            known.submission.task_id == held.lease.task_id and known.submission.commitment == held.start_commitment
        )
        if is_head and known.verdict is not None and known.verdict.accepted:
            report = _report(run, known)
            return report.scores if report else None
    return None


def _audited(run: RunDir, state: State, judged: str, size: int | None) -> dict[int, ReferenceCurve]:
    """One curve a cluster from submissions of others that were replayed, of one size."""
    points: dict[str, dict[int, ScoredPoint]] = {}
    for known in state.submissions.values():
        if known.phase == "withdrawn" or known.signer == judged or not _has_replay(known):
            continue
        if state.leases[known.submission.lease_id].lease.size != size:
            continue
        report = _report(run, known)
        if report and report.scores and _is_replayed(report):
            scores = report.scores
            points.setdefault(expert_of(known.submission.task_id), {})[scores.step] = scores
    curves = {}
    for task_id, by_step in points.items():
        task = state.tasks[task_id].task
        ordered = tuple(by_step[step] for step in sorted(by_step))
        curves[task.cluster] = ReferenceCurve(
            cluster=task.cluster, objective=task.objective, points=ordered, audited=True
        )
    return curves


def _has_replay(known: SubmissionState) -> bool:
    verdict = known.verdict
    return verdict is not None and verdict.accepted and any(rung.rung == "replay" for rung in verdict.rungs)


def _is_replayed(report: Report) -> bool:
    """Whether an end was compared; the rung also passes where the start of all that was drawn is no longer kept."""
    return any(
        check.name == "distance" and check.passed
        for rung in report.rungs
        if rung.name == "replay"
        for check in rung.checks
    )


def _report(run: RunDir, known: SubmissionState) -> Report | None:
    path = run.verify / known.submission.lease_id / "report.json"
    try:
        return read_report(path) if path.is_file() else None
    except WorkerError:
        logger.warning("%s cannot be read: its scores are not used.", path)
        return None
