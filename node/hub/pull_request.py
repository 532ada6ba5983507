"""The finished expert, or a leg of it, as one pull request on the run's model repo.

    submissions/<task>-<attempt>-<first 8 of the key>/expert.safetensors    EMA weights
    submissions/<task>-<attempt>-<first 8 of the key>/submission.json       signed; names the other files
    of a leg also       chain.json, and before the task's last step weights.safetensors, optimizer.safetensors

One commit holds all, so that half a submission never exists. A repeated upload first looks for the pull request that
an earlier try may have made: its title names the lease.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paris.experts.files import file_sha256, write_whole
from paris.node.errors import HubRefusedError, TrainerError, TransientHubError, disk_full_while
from paris.node.hub.additions import additions
from paris.node.hub.client import Hub, translated
from paris.node.hub.sending import Sending
from paris.node.machine.unit import Finished, Unit, UnitFolder
from paris.protocol.envelope import open_envelope
from paris.protocol.hub_layout import SUBMISSION_FILE, pull_request_ref, submission_folder
from paris.protocol.run_records import SubmittedFile
from paris.protocol.sealer import Sealer
from paris.protocol.work_records import Submission

_logger = logging.getLogger(__name__)
_LIFE_S = 30 * 86400.0
_FORBIDDEN = 403


@dataclass(frozen=True)
class PullRequest:
    """A pull request of this volunteer and its head commit."""

    number: int
    commit: str


def folder_in_repo(unit: Unit, public_key: str) -> str:
    """The submission's folder in the model repo."""
    return submission_folder(unit.task.task_id, unit.lease.attempt, public_key)


def title_of(unit: Unit, name: str) -> str:
    """The pull request's title; a repeated upload finds it by the lease id."""
    return f"{unit.task.task_id} attempt {unit.lease.attempt} by {name} ({unit.lease.lease_id})"


def make_submission(unit: Unit, folder: UnitFolder, sealer: Sealer, *, name: str, repo: str) -> Submission:
    """Write the signed submission.json once; a later call returns what is in it.

    Args:
        unit: With `finished` set.
        folder: Has the files.
        sealer: Signs.
        name: The volunteer's name.
        repo: The run's model repo.

    Returns:
        The payload, without pull request and commit.

    Raises:
        TrainerError: A file on disk is not the one that training finished with.
        DiskFullError: No room for submission.json.
    """
    finished = _checked(unit, folder)
    if folder.submission.exists():
        sealed = open_envelope(folder.submission.read_bytes(), run_id=unit.run_id, coordinator=None, now=None)
        if isinstance(sealed.payload, Submission) and sealed.payload.lease_id == unit.lease.lease_id:
            return sealed.payload
    payload = _payload(unit, finished, folder_in_repo(unit, sealer.public_key), name=name, repo=repo)
    envelope = sealer.seal(payload, _LIFE_S)
    with disk_full_while("saving submission.json", folder.path):
        write_whole(folder.submission, envelope.data)
    return payload


def _checked(unit: Unit, folder: UnitFolder) -> Finished:
    finished = unit.finished
    for file in finished.files if finished else ():
        path = folder.path / file.path
        if not path.is_file() or file_sha256(path) != file.sha256:
            raise TrainerError(
                f"{path} is not the file that training finished with.", f"Move {folder.path} away and join again."
            )
    if finished is None:
        raise TrainerError(f"{unit.label} is not finished.", f"Move {folder.path} away and join again.")
    return finished


def _payload(unit: Unit, finished: Finished, place: str, *, name: str, repo: str) -> Submission:
    return Submission(
        lease_id=unit.lease.lease_id,
        task_id=unit.task.task_id,
        attempt=unit.lease.attempt,
        name=name,
        repo=repo,
        pull_request=None,
        commit=None,
        files=tuple(
            SubmittedFile(path=f"{place}/{file.name}", sha256=file.sha256, bytes=file.bytes) for file in finished.files
        ),
        steps=finished.steps,
        final_loss=finished.final_loss,
        commitment=finished.commitment,
        start_step=unit.lease.start_step if unit.is_leg else None,
    )


def upload(
    hub: Hub,
    unit: Unit,
    folder: UnitFolder,
    submission: Submission,
    public_key: str,
    sending: Sending | None = None,
) -> PullRequest:
    """Open the pull request, or find the one that an earlier try opened.

    Args:
        hub: The run's Hub, with a token.
        unit: The unit in state uploading.
        folder: Has its files.
        submission: From `make_submission`.
        public_key: The volunteer's.
        sending: Counts what goes out, over all tries; None: nobody does.

    Raises:
        TransientHubError: A later try may work; also for 403, as from a Hub that is read-only for a while.
        HubRefusedError: The Hub rejected the request permanently.
    """
    try:
        return _upload(hub, unit, folder, submission, public_key, sending)
    except HubRefusedError as error:
        if error.status != _FORBIDDEN:
            raise
        raise TransientHubError(f"{error.what} The trained expert stays on disk. {error.next_step}") from error


def _upload(
    hub: Hub, unit: Unit, folder: UnitFolder, submission: Submission, public_key: str, sending: Sending | None
) -> PullRequest:
    title = title_of(unit, submission.name)
    place = folder_in_repo(unit, public_key)
    number = _find(hub, submission.repo, title)
    if number is not None:
        commit = _complete_commit(hub, submission, place, number, folder.submission.stat().st_size)
        _logger.info("Pull request %d exists, %s.", number, "complete" if commit else "without all files")
        if commit is not None:
            return PullRequest(number, commit)
    counted = None if hub.has_xet and hub.passed is None else sending
    with (
        translated(f"uploading {unit.task.task_id} to {submission.repo}"),
        additions(_files(unit, folder, place), hub.passed, counted) as operations,
    ):
        info = hub.api.create_commit(
            submission.repo,
            operations,
            repo_type="model",
            commit_message=title,
            commit_description=f"Signed by {public_key}.",
            create_pr=number is None,
            revision=None if number is None else pull_request_ref(number),
        )
    made = PullRequest(number or int(info.pr_num or 0), str(info.oid))
    _logger.info("Uploaded %s as pull request %d at %s.", unit.label, made.number, made.commit)
    return made


def _files(unit: Unit, folder: UnitFolder, place: str) -> dict[str, Path]:
    """By their path in the repo."""
    made = unit.finished.files if unit.finished else ()
    files = {f"{place}/{file.name}": folder.path / file.path for file in made}
    return {**files, f"{place}/{SUBMISSION_FILE}": folder.submission}


def _find(hub: Hub, repo: str, title: str) -> int | None:
    """Number of this user's pull request with this title, open or not."""
    with translated(f"looking for the pull request on {repo}"):
        found = hub.api.get_repo_discussions(
            repo, repo_type="model", discussion_type="pull_request", author=hub.user_name()
        )
        for discussion in found:
            if discussion.title == title:
                return int(discussion.num)
    return None


def _complete_commit(hub: Hub, submission: Submission, place: str, number: int, json_bytes: int) -> str | None:
    """The pull request's head commit if it has all files complete, else None."""
    revision, signed = pull_request_ref(number), f"{place}/{SUBMISSION_FILE}"
    with translated(f"looking at pull request {number}"):
        paths = [signed, *(file.path for file in submission.files)]
        found: dict[str, Any] = {
            info.path: info
            for info in hub.api.get_paths_info(submission.repo, paths, revision=revision, repo_type="model")
        }
        head = hub.api.repo_info(submission.repo, repo_type="model", revision=revision).sha
    if set(found) != set(paths):
        return None
    is_whole = found[signed].size == json_bytes and all(_is_same(found[file.path], file) for file in submission.files)
    return str(head) if is_whole else None


def _is_same(info: Any, file: SubmittedFile) -> bool:
    """Whether the Hub's information on a file is that of the submission; small files have no digest there."""
    return info.size == file.bytes and (info.lfs is None or info.lfs.sha256 == file.sha256)
