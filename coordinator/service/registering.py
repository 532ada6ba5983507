"""Registration: a copy pinned to exactly the verified bytes, and the verdict on the pull request."""

from __future__ import annotations

from collections.abc import Callable

from paris.coordinator.errors import HubError
from paris.coordinator.run_hub.client import RunHub, verdict_text
from paris.coordinator.state.model import State, SubmissionState
from paris.protocol.hub_layout import SUBMISSION_FILE, expert_path, submission_folder
from paris.protocol.records import Registration, SubmittedFile, Verdict

Sealer = Callable[[Verdict], str]
"""Signs a verdict; the volunteer's node reads it in the comment when the DHT is silent."""


def register_submission(hub: RunHub, state: State, lease_id: str, seal: Sealer) -> Registration:
    """Copy an accepted submission's weights onto main and close its pull request.

    Doing it again after a crash finds the bytes in place and goes on from there.

    Args:
        hub: The run's repos.
        state: Holds the submission.
        lease_id: Names it.
        seal: Signs the verdict.

    Raises:
        HubError: The Hub did not answer, refused, or holds other bytes after the copy than were verified.
    """
    known, verdict = _accepted(state, lease_id)
    submission = known.submission
    task = state.tasks[submission.task_id].task
    weights = weights_file(known)
    path = expert_path(task.cluster)
    if hub.find_registered(path) != (weights.sha256, weights.bytes):
        message = f"Register {submission.task_id} by {submission.name} (#{submission.pull_request})"
        hub.register(submission, weights.path, path, message)
    found = hub.find_registered(path)
    if found != (weights.sha256, weights.bytes):
        raise HubError(f"{path} on main has {found}, verified was {weights.sha256}.", "It will be copied again.")
    registration = Registration(
        task_id=submission.task_id,
        cluster=task.cluster,
        repo=submission.repo,
        commit=hub.head(),
        path=path,
        sha256=weights.sha256,
        bytes=weights.bytes,
        steps=submission.steps,
        volunteer=known.signer,
        volunteer_name=submission.name,
        lease_id=lease_id,
    )
    hub.close_pull_request(_number(known), verdict, verdict_text(verdict, registration, seal(verdict)))
    return registration


def reject_submission(hub: RunHub, state: State, lease_id: str, seal: Sealer) -> None:
    """Tell the volunteer why, close the pull request and free its storage.

    Raises:
        HubError: The Hub did not answer or refused; to be done again.
    """
    known = state.submissions[lease_id]
    if known.verdict is None:
        raise HubError(f"Submission {lease_id[:8]} has no verdict yet.")
    submission = known.submission
    own_record = f"{submission_folder(submission.task_id, submission.attempt, known.signer)}/{SUBMISSION_FILE}"
    # The number is the submitter's word: a pull request that does not hold its submission is somebody else's.
    if hub.pull_request_holds(_number(known), own_record):
        hub.close_pull_request(_number(known), known.verdict, verdict_text(known.verdict, None, seal(known.verdict)))


def weights_file(known: SubmissionState) -> SubmittedFile:
    """The one safetensors file of a submission."""
    return next(file for file in known.submission.files if file.path.endswith(".safetensors"))


def _accepted(state: State, lease_id: str) -> tuple[SubmissionState, Verdict]:
    known = state.submissions[lease_id]
    if known.verdict is None or not known.verdict.accepted:
        raise HubError(f"Submission {lease_id[:8]} is not accepted.")
    return known, known.verdict


def _number(known: SubmissionState) -> int:
    number = known.submission.pull_request
    if number is None:
        raise HubError(f"Submission {known.submission.lease_id[:8]} names no pull request.")
    return number
