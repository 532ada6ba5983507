"""From uploading by way of awaiting-verdict to done: from the finished weights to what the coordinator made of them."""

from __future__ import annotations

import time

from paris.node.errors import HubRefusedError, TransientHubError
from paris.node.hub.pull_request import make_submission, upload
from paris.node.swarm.coordinator_records import find_verdict, verdict_on_hub
from paris.node.view import EventKind
from paris.node.work.unit_work import UnitWork
from paris.protocol.records import Submission, Verdict

_HUB_LOOK_EVERY_S = 60.0


def submit(work: UnitWork) -> None:
    """From uploading to awaiting-verdict: tried until it works; only a refusal ends it.

    Raises:
        HubRefusedError: The Hub will never take it; the work stays on disk.
        StoppedError: The volunteer stopped the node.
    """
    node, me = work.node, work.node.sealer.public_key
    work.beat("uploading")
    submission = make_submission(work.unit, work.folder, node.sealer, name=node.name, repo=node.spec.model_repo)
    made = work.persist(lambda: upload(node.hub, work.unit, work.folder, submission, me), is_upload=True)
    record = submission.model_copy(update={"pull_request": made.number, "commit": made.commit})
    work.advance("awaiting-verdict", submission=record)
    work.event(EventKind.SUBMITTED, pull_request=made.number, commit=made.commit, repo=record.repo)


def await_verdict(work: UnitWork) -> None:
    """From awaiting-verdict to done: the submission is said again until the coordinator has judged it.

    Raises:
        StoppedError: The volunteer stopped the node.
    """
    node, record = work.node, work.unit.submission
    if record is None:
        work.advance("uploading")
        return
    node.announcer.publish(record)
    work.beat("waiting-verdict")
    work.event(EventKind.AWAITING_VERDICT)
    verdict = _wait(work, record)
    node.announcer.withdraw("submission")
    work.advance("done", verdict=verdict)
    if verdict.accepted:
        work.folder.delete_big_files()
    fields = verdict.model_dump(mode="json", exclude={"task_id"})
    work.event(EventKind.VERDICT, text=verdict_in_words(verdict), **fields)


def verdict_in_words(verdict: Verdict) -> str:
    """The verdict as one line, with the rung, the figure and the bound of what failed."""
    if verdict.accepted:
        return f"{verdict.task_id}: accepted. {verdict.reason}"
    failed = next((rung for rung in verdict.rungs if not rung.passed), None)
    if failed is None:
        return f"{verdict.task_id}: rejected. {verdict.reason}"
    measured = f"{failed.figure:.4g}, the bound is {failed.bound:.4g}"
    return f"{verdict.task_id}: rejected at rung {failed.rung} ({measured}). {verdict.reason} {failed.note}".strip()


def _wait(work: UnitWork, record: Submission) -> Verdict:
    node = work.node
    next_hub_look_at = time.monotonic() + _HUB_LOOK_EVERY_S
    while True:
        verdict = find_verdict(node.swarm.read("verdict"), record.lease_id)
        if verdict is None and time.monotonic() >= next_hub_look_at:
            next_hub_look_at = time.monotonic() + _HUB_LOOK_EVERY_S
            verdict = _look_at_hub(work, record)
        if verdict is not None:
            return verdict
        node.stop.pause(node.poll_s)


def _look_at_hub(work: UnitWork, record: Submission) -> Verdict | None:
    """The second source, for when the DHT is out of reach; its own trouble only means to look again later."""
    if record.pull_request is None:
        return None
    try:
        return verdict_on_hub(
            work.node.hub,
            record.repo,
            record.pull_request,
            run_id=work.unit.run_id,
            coordinator=work.node.run.signer,
            lease_id=record.lease_id,
        )
    except (TransientHubError, HubRefusedError) as error:
        work.event(EventKind.NOTE, text=f"The pull request could not be looked at: {error.what}")
        return None
