"""What becomes of judged work on the Hub: copies pinned to exactly the verified bytes, verdicts on pull requests."""

from __future__ import annotations

import hashlib
import logging
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from paris.coordinator.decisions.legs import verified_legs
from paris.coordinator.errors import HubError, NotOnHubError
from paris.coordinator.run.lives import LIFE_S
from paris.coordinator.run_hub.client import RunHub
from paris.coordinator.run_hub.comments import registered_as, stored_as, verdict_text
from paris.coordinator.state.model import State, SubmissionState
from paris.protocol.chain import parse_chain
from paris.protocol.hub_layout import (
    CHAIN_FILE,
    STATE_FILES,
    SUBMISSION_FILE,
    SUBMITTED_AS,
    WEIGHTS_FILE,
    expert_path,
    state_branch,
    state_branches,
    state_folder,
    submission_folder,
)
from paris.protocol.run_records import Head, Registration, SubmittedFile
from paris.protocol.sealer import Sealer
from paris.protocol.work_records import Verdict

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Registrar:
    """Registers accepted submissions, stores the states of accepted legs, and closes the rest.

    Args:
        hub: The run's repos.
        sealer: Signs each verdict for the comment on the pull request, which a node reads where the DHT has none.
        verify: Work folders of the verifications, with the verified chains of legs.
    """

    hub: RunHub
    sealer: Sealer
    verify: Path

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
            self.hub.copy_verified(submission.commit, {path_in_repo(known, weights.path): path}, message)
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
            size=state.leases[lease_id].lease.size,
        )
        self._close(known, verdict, registered_as(registration), free_storage=False)
        logger.info("Registered %s as %s at %s.", submission.task_id, path, registration.commit[:12])
        return registration

    def store_leg(self, state: State, lease_id: str) -> Head:
        """Copy the state at the end of an accepted leg onto a branch of its own, and close its pull request.

        Deletes the branches of states that the saved state no longer keeps. Those that this leg makes
        superfluous stay until the next one: until this one is saved, a roll-back may offer them. Idempotent, as
        `register`.

        Args:
            state: Holds the submission.
            lease_id: Names it.

        Raises:
            HubError: The Hub did not answer, refused, or holds other bytes after the copy than were verified.
            RecordError: The verified chain in the work folder is damaged.
        """
        known, verdict = _accepted(state, lease_id)
        s = known.submission
        folder, branch = state_folder(s.task_id, s.steps), state_branch(s.task_id, s.steps)
        declared = {file.path.rpartition("/")[2]: file for file in s.files}
        parts = zip(SUBMITTED_AS.values(), STATE_FILES, strict=True)
        copies = {declared[submitted]: f"{folder}/{name}" for submitted, name in parts}
        files = tuple(SubmittedFile(path=path, sha256=file.sha256, bytes=file.bytes) for file, path in copies.items())
        if not self._holds(branch, files):
            message = f"State of {s.task_id} at step {s.steps} by {s.name} (#{s.pull_request})"
            sources = {path_in_repo(known, file.path): path for file, path in copies.items()}
            # For rechecks by another coordinator: the pull request's storage is freed.
            sources[path_in_repo(known, declared[CHAIN_FILE].path)] = f"{folder}/{CHAIN_FILE}"
            self.hub.copy_verified(s.commit, sources, message, branch)
        if not self._holds(branch, files):
            raise HubError(f"{branch} does not have the bytes that were verified.", "They will be copied again.")
        head = Head(
            step=s.steps,
            loss=s.final_loss,
            previous=self._previous(known),
            commitment=s.commitment,
            commit=self.hub.head(branch),
            files=files,
            size=state.leases[lease_id].lease.size,
        )
        self._delete_states(state, s.task_id, branch)
        self._close(known, verdict, stored_as(s.task_id, head, s.repo), free_storage=True)
        logger.info("Stored %s at %s.", branch, head.commit[:12])
        return head

    def _holds(self, branch: str, files: tuple[SubmittedFile, ...]) -> bool:
        """Whether a branch has these bytes."""
        return all(self.hub.find_registered(file.path, branch) == (file.sha256, file.bytes) for file in files)

    def _delete_states(self, state: State, task_id: str, newest: str) -> None:
        """Delete the task's branches but the newest and those of the legs that have a state, rolled-back ones too."""
        legs = verified_legs(state.submissions.values(), task_id)
        kept = {newest, *(state_branch(task_id, leg.submission.steps) for leg in legs if leg.head is not None)}
        for branch in self.hub.branches(state_branches(task_id)):
            # One of a later step may be of a coordinator that leads by now.
            if branch not in kept and branch < newest:
                self.hub.delete_branch(branch)

    def _previous(self, known: SubmissionState) -> str:
        """The commitment before a leg's last one, from its verified chain; one that is gone is fetched again."""
        folder = self.verify / known.submission.lease_id
        try:
            data = (folder / CHAIN_FILE).read_bytes()
        except OSError as error:
            logger.warning("%s cannot be read (%s): fetched again.", folder / CHAIN_FILE, error.strerror)
            data = fetch_chain(self.hub, known, folder)
        chain = parse_chain(data)
        return chain.links[-2].commitment if len(chain.links) > 1 else chain.start.commitment

    def close(self, state: State, lease_id: str) -> None:
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
            self._close(known, known.verdict, None, free_storage=True)

    def _close(self, known: SubmissionState, verdict: Verdict, outcome: str | None, *, free_storage: bool) -> None:
        sealed = self.sealer.seal(verdict, LIFE_S).data.decode()
        text = verdict_text(verdict, outcome, sealed)
        self.hub.close_pull_request(_number(known), text, free_storage=free_storage)


def fetch_chain(hub: RunHub, known: SubmissionState, folder: Path) -> bytes:
    """The verified chain of a leg, from beside its state or from its pull request.

    Args:
        hub: The run's repos.
        known: The leg, accepted.
        folder: The work folder of its verification; nothing stays there.

    Raises:
        NotOnHubError: The Hub does not have it any more.
        HubError: The Hub did not answer, or has another one than was verified.
    """
    s, head = known.submission, known.head
    declared = next(file for file in s.files if file.path.rpartition("/")[2] == CHAIN_FILE)
    places = [] if head is None else [(f"{state_folder(s.task_id, head.step)}/{CHAIN_FILE}", head.commit)]
    places.append((path_in_repo(known, declared.path), s.commit or ""))
    try:
        data = _first_found(hub, places, folder / "fetched")
    finally:
        shutil.rmtree(folder / "fetched", ignore_errors=True)
    if hashlib.sha256(data).hexdigest() != declared.sha256:
        raise HubError(f"{declared.path} on the Hub is not what was verified.", "Restore it from a backup.")
    return data


def _first_found(hub: RunHub, places: list[tuple[str, str]], folder: Path) -> bytes:
    """The file at the first of these paths and commits that is there."""
    for path, commit in places[:-1]:
        with suppress(NotOnHubError):
            return hub.download(path, folder, commit).read_bytes()
    path, commit = places[-1]
    return hub.download(path, folder, commit).read_bytes()


def weights_file(known: SubmissionState) -> SubmittedFile:
    """The EMA weights of a submission."""
    return next(file for file in known.submission.files if file.path.rpartition("/")[2] == WEIGHTS_FILE)


def path_in_repo(known: SubmissionState, path: str) -> str:
    """A declared path, which may be relative to the submission's folder, in the repo."""
    s = known.submission
    folder = submission_folder(s.task_id, s.attempt, known.signer)
    return path if path.startswith(f"{folder}/") else f"{folder}/{path}"


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
