"""Waiting for the coordinator's verdict on a submission: in the DHT, and now and then on the Hub."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from paris.node.errors import HubRefusedError, LeaseLostError, TransientHubError
from paris.node.hub.client import Hub
from paris.node.retry import Wait
from paris.node.swarm.coordinator_records import find_verdict, verdict_on_hub
from paris.node.swarm.session import RunSession
from paris.node.view import EventKind
from paris.node.work.answering import Answering
from paris.node.work.report import UnitReport
from paris.protocol.clock import Clock
from paris.protocol.work_records import Submission, Verdict

_logger = logging.getLogger(__name__)
_HUB_EVERY_S = 60.0


def wait_for_verdict(
    session: RunSession,
    hub: Hub,
    submission: Submission,
    snapshots: Path,
    report: UnitReport,
    pause: Wait,
    clock: Clock = time.monotonic,
) -> Verdict:
    """Wait until the coordinator has judged a submission, and give it the snapshots that it asks for meanwhile.

    Args:
        session: The run; its DHT is read every `poll_s`.
        hub: The second source, for when the DHT is unreachable.
        submission: With its pull request.
        snapshots: Folder of the scheduled snapshots.
        report: Shows that the pull request could not be read; it is read again later.
        pause: Waits, or raises StoppedError.
        clock: Seconds that only grow.

    Raises:
        LeaseLostError: There is no verdict, and the lease ended so long ago that peers take no record under it.
        StoppedError: From `pause`.
    """
    answering = Answering(session, hub, submission, snapshots, report)
    next_hub_read_at = clock() + _HUB_EVERY_S
    while True:
        verdict = find_verdict(session.ways.read("verdict"), submission.lease_id)
        is_over = session.announcer.leases.is_over(submission.lease_id)
        if verdict is None and (is_over or clock() >= next_hub_read_at):
            next_hub_read_at = clock() + _HUB_EVERY_S
            verdict = _read_hub(session, hub, submission, report)
        if verdict is not None:
            _logger.info("%s", verdict_in_words(verdict))
            return verdict
        if is_over:
            raise LeaseLostError(
                "There is no verdict, and the lease ended too long ago for one.", "The node waits for another task."
            )
        answering.answer()
        pause(session.poll_s)


def verdict_in_words(verdict: Verdict) -> str:
    """The verdict as one line; a rejection names the rung, the figure and its bound."""
    if verdict.accepted:
        return f"{verdict.task_id}: accepted. {verdict.reason}"
    failed = next((rung for rung in verdict.rungs if not rung.passed), None)
    if failed is None:
        return f"{verdict.task_id}: rejected. {verdict.reason}"
    measured = f"{failed.figure:.4g}, the bound is {failed.bound:.4g}"
    return f"{verdict.task_id}: rejected at rung {failed.rung} ({measured}). {verdict.reason} {failed.note}".strip()


def _read_hub(session: RunSession, hub: Hub, submission: Submission, report: UnitReport) -> Verdict | None:
    if submission.pull_request is None:
        return None
    try:
        return verdict_on_hub(
            hub,
            submission.repo,
            submission.pull_request,
            run_id=session.run_id,
            coordinator=session.run.signer,
            lease_id=submission.lease_id,
        )
    except (TransientHubError, HubRefusedError) as error:
        _logger.debug("Reading the pull request failed", exc_info=True)
        report.event(EventKind.NOTE, text=f"The pull request could not be read: {error.what}")
        return None
