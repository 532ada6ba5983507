"""Registration: a copy pinned to exactly the verified bytes, and the verdict on the pull request."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from paris.coordinator.errors import HubError
from paris.coordinator.run_hub.client import RunHub, verdict_text
from paris.coordinator.state.model import State, SubmissionState
from paris.protocol.hub_layout import SUBMISSION_FILE, expert_path, submission_folder
from paris.protocol.record_rules import RECORD_RULES
from paris.protocol.records import Registration, SubmittedFile, Verdict
from paris.protocol.sealer import Sealer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Registrar:
    """Registers accepted submissions and closes rejected ones.

    Args:
        hub: The run's repos.
        sealer: Signs each verdict for the comment on the pull request, which a node reads where the DHT has none.
    """

    hub: RunHub
    sealer: Sealer

    def register(self, state: State, lease_id: str) -> Registration:
        """Copy an accepted submission's weights onto main and close its pull request.

        Idempotent: called again after a crash, it finds the bytes in place and continues.

        Args:
            state: Holds the submission.
            lease_id: Names it.

        Raises:
            HubError: The Hub did not answer, refused, or holds other bytes after the copy than were verified.
        """
        known, verdict = _accepted(state, lease_id)
        submission = known.submission
        task = state.tasks[submission.task_id].task
        weights = weights_file(known)
        path = expert_path(task.cluster)
        if self.hub.find_registered(path) != (weights.sha256, weights.bytes):
            message = f"Register {submission.task_id} by {submission.name} (#{submission.pull_request})"
            self.hub.register(submission, weights.path, path, message)
        found = self.hub.find_registered(path)
        if found != (weights.sha256, weights.bytes):
            raise HubError(f"{path} on main has {found}, verified was {weights.sha256}.", "It will be copied again.")
        registration = Registration(
            task_id=submission.task_id,
            cluster=task.cluster,
            repo=submission.repo,
            commit=self.hub.head(),
            path=path,
            sha256=weights.sha256,
            bytes=weights.bytes,
            steps=submission.steps,
            volunteer=known.signer,
            volunteer_name=submission.name,
            lease_id=lease_id,
        )
        self._close(known, verdict, registration)
        logger.info("Registered %s as %s at %s.", submission.task_id, path, registration.commit[:12])
        return registration

    def reject(self, state: State, lease_id: str) -> None:
        """Tell the volunteer why, close the pull request and free its storage. Idempotent.

        Raises:
            HubError: The Hub did not answer or refused; to be called again.
        """
        known = state.submissions[lease_id]
        if known.verdict is None:
            raise HubError(f"Submission {lease_id[:8]} has no verdict yet.")
        submission = known.submission
        own_record = f"{submission_folder(submission.task_id, submission.attempt, known.signer)}/{SUBMISSION_FILE}"
        # The submitter chose the number: a pull request without this submission in it is another volunteer's.
        if self.hub.pull_request_holds(_number(known), own_record):
            self._close(known, known.verdict, None)

    def _close(self, known: SubmissionState, verdict: Verdict, registration: Registration | None) -> None:
        sealed = self.sealer.seal(verdict, RECORD_RULES["verdict"].max_life_s).data.decode()
        self.hub.close_pull_request(_number(known), verdict, verdict_text(verdict, registration, sealed))


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
