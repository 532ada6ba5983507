"""Rung 1: the lease holder signed these files, they are all that the pull request changes, and they are what arrives.

Sizes and digests are compared with the Hub's metadata before the first byte is fetched.
"""

from __future__ import annotations

from dataclasses import dataclass

from paris.coordinator.verify.case import VerificationCase
from paris.coordinator.verify.hub_reads import HubReads, MissingOnHub, RemoteFile, TooLarge
from paris.coordinator.verify.report import Checks
from paris.protocol.envelope import Envelope, open_envelope
from paris.protocol.errors import ParisError
from paris.protocol.hub_layout import SUBMISSION_FILE, WEIGHTS_FILE, submission_folder
from paris.protocol.limits import MAX_CLOCK_SKEW_S
from paris.protocol.records import Submission, SubmittedFile


@dataclass(frozen=True)
class Judged:
    """What rung 1 has established: from here on, only this file at this commit is meant."""

    submission: Submission
    commit: str
    pull_request: int
    path: str
    sha256: str
    num_bytes: int


def climb_envelope(case: VerificationCase, checks: Checks, max_bytes: int) -> Judged:
    """Carry out rung 1 and bring the file here.

    Args:
        case: The case.
        checks: Receives what is measured.
        max_bytes: Largest file that the run's model can need.

    Returns:
        What is judged from here on; the file is at `case.candidate`.

    Raises:
        Refused: A check does not pass; nothing of the submission is kept.
        HubError: The Hub could not be asked.
    """
    envelope = _signed(case.submission.encode(), case, checks)
    submission = envelope.payload
    _held_lease(case, envelope, checks)
    declared = _declared(case, submission, checks, max_bytes)
    commit, pull_request = submission.commit, submission.pull_request
    checks.require(
        "pinned", commit is not None and pull_request is not None, "the submission names no pull request and commit"
    )
    if commit is None or pull_request is None:
        raise ValueError("A submission without a commit passed the check that demands one.")
    hub = HubReads(case.hub_endpoint, case.token, case.run.model_repo)
    _head(hub, pull_request, commit, case, checks)
    present = _changed(hub, commit, case, checks)
    folder = submission_folder(case.task.task_id, case.lease.attempt, case.lease.volunteer)
    remote = _metadata(present, folder, declared, case, checks)
    _fetch(hub, remote, commit, declared, case, checks)
    _inner_record(hub, f"{folder}/{SUBMISSION_FILE}", commit, envelope, case, checks)
    checks.at_most("size", declared.bytes, max_bytes, "bytes of the checkpoint")
    return Judged(submission, commit, pull_request, remote.path, declared.sha256, declared.bytes)


def _signed(data: bytes, case: VerificationCase, checks: Checks) -> Envelope[Submission]:
    """Open a sealed submission; any flaw is a refusal, not an error."""
    try:
        envelope = open_envelope(data, run_id=case.run_id, coordinator=case.coordinator, now=None)
    except (ParisError, ValueError) as error:
        checks.require("signature", False, f"the record is not valid: {str(error)[:120]}")
        raise
    checks.require(
        "kind", isinstance(envelope.payload, Submission), f"the record is a {envelope.kind}, not a submission"
    )
    return envelope  # type: ignore[return-value]


def _held_lease(case: VerificationCase, envelope: Envelope[Submission], checks: Checks) -> None:
    submission, lease, task = envelope.payload, case.lease, case.task
    checks.require("signature", True, "the signature holds")
    holder = f"signed by {envelope.signer[:12]}, but the lease is held by {lease.volunteer[:12]}"
    checks.require("lease-holder", envelope.signer == lease.volunteer, holder)
    checks.require("lease-id", submission.lease_id == lease.lease_id, "the submission names another lease")
    checks.require("task", submission.task_id == lease.task_id == task.task_id, f"the lease is for {lease.task_id}")
    note = f"the lease is attempt {lease.attempt}, the submission says {submission.attempt}"
    checks.require("attempt", submission.attempt == lease.attempt, note)
    checks.at_most(
        "from-the-future", envelope.issued_at - case.received_at, MAX_CLOCK_SKEW_S, "seconds signed ahead of time"
    )
    late_s = max(0.0, case.received_at - lease.expires_at)
    allowed_s = 0.0 if task.state == "registered" else case.bounds.max_late_s
    checks.at_most("late", late_s, allowed_s, "seconds after the end of the lease")
    if late_s > 0 or lease.state != "granted":
        checks.remark(
            f"late work: the lease was {lease.state}, ended {late_s:.0f} s before; the task has no expert yet"
        )
    checks.at_least("steps", submission.steps, task.steps, "training steps that the volunteer claims")
    checks.require("repo", submission.repo == case.run.model_repo, f"the run's models stand in {case.run.model_repo}")


def _declared(case: VerificationCase, submission: Submission, checks: Checks, max_bytes: int) -> SubmittedFile:
    """The one checkpoint that is declared. Its path may be given within the repo or within the submission's folder."""
    folder = submission_folder(case.task.task_id, case.lease.attempt, case.lease.volunteer)
    allowed = {WEIGHTS_FILE, f"{folder}/{WEIGHTS_FILE}"}
    odd = [file.path for file in submission.files if file.path not in allowed]
    checks.none("declared-files", odd, f"declared files other than {WEIGHTS_FILE}")
    checks.at_most("file-count", len(submission.files), 1, "declared files")
    declared = submission.files[0]
    checks.at_most("declared-size", declared.bytes, max_bytes, "declared bytes of the checkpoint")
    return declared


def _head(hub: HubReads, pull_request: int, commit: str, case: VerificationCase, checks: Checks) -> None:
    head = hub.head_of(pull_request)
    if head is None:
        checks.require("pull-request", False, f"there is no pull request {pull_request} on the Hub")
        return
    if head == commit:
        return
    note = f"pull request {pull_request} points to {head[:12]}, the volunteer signed {commit[:12]}"
    tolerated = case.bounds.allow_moved_head and hub.is_ancestor(commit, head)
    checks.require("head", tolerated, note)
    checks.remark(f"{note}; the signed commit was judged")


def _changed(hub: HubReads, commit: str, case: VerificationCase, checks: Checks) -> dict[str, RemoteFile]:
    """Refuse a pull request that touches anything outside its folder; return what the repo holds at the commit."""
    try:
        base, present = hub.base_of(commit), hub.files_at(commit)
    except MissingOnHub as error:
        checks.require("commit", False, str(error))
        raise
    before = hub.files_at(base) if base is not None else {}
    if base is None:
        checks.require("base", False, "the commit shares no history with the main branch")
    blobs = {path: file.blob_id for path, file in present.items()}
    old = {path: file.blob_id for path, file in before.items()}
    changed = sorted(path for path in blobs.keys() | old.keys() if blobs.get(path) != old.get(path))
    folder = submission_folder(case.task.task_id, case.lease.attempt, case.lease.volunteer)
    outside = [path for path in changed if not path.startswith(f"{folder}/")]
    checks.none("foreign-changes", outside, f"files changed outside {folder}")
    return present


def _metadata(
    present: dict[str, RemoteFile], folder: str, declared: SubmittedFile, case: VerificationCase, checks: Checks
) -> RemoteFile:
    """Compare what the Hub holds with what was signed, before any byte is fetched."""
    here = {path: file for path, file in present.items() if path.startswith(f"{folder}/")}
    allowed = {f"{folder}/{WEIGHTS_FILE}", f"{folder}/{SUBMISSION_FILE}"}
    checks.none("extra-files", sorted(here.keys() - allowed), "files beside the declared ones")
    checks.none("missing-files", sorted(allowed - here.keys()), "files that are missing")
    remote = here[f"{folder}/{WEIGHTS_FILE}"]
    checks.at_most("hub-size", remote.num_bytes, declared.bytes, "bytes on the Hub against the signed number")
    checks.at_least("hub-size", remote.num_bytes, declared.bytes, "bytes on the Hub against the signed number")
    same = remote.sha256 is None or remote.sha256 == declared.sha256
    checks.require("hub-digest", same, f"the Hub holds {str(remote.sha256)[:12]}, signed was {declared.sha256[:12]}")
    record = here[f"{folder}/{SUBMISSION_FILE}"]
    checks.at_most("record-size", record.num_bytes, case.bounds.max_json_bytes, f"bytes of {SUBMISSION_FILE}")
    return remote


def _fetch(
    hub: HubReads, remote: RemoteFile, commit: str, declared: SubmittedFile, case: VerificationCase, checks: Checks
) -> None:
    try:
        found = hub.download(remote.path, commit, case.candidate, max_bytes=declared.bytes)
    except TooLarge as error:
        checks.require("download-size", False, str(error))
        raise
    if found != declared.sha256:
        case.candidate.unlink()
    checks.require(
        "digest", found == declared.sha256, f"the bytes have digest {found[:12]}, signed was {declared.sha256[:12]}"
    )


def _inner_record(
    hub: HubReads, path: str, commit: str, outer: Envelope[Submission], case: VerificationCase, checks: Checks
) -> None:
    """The signed copy inside the pull request says the same; it was written before the commit had a name."""
    local = case.work_dir / SUBMISSION_FILE
    try:
        hub.download(path, commit, local, max_bytes=case.bounds.max_json_bytes)
    except TooLarge as error:
        checks.require("record-size", False, str(error))
        raise
    inner = _signed(local.read_bytes().strip(), case, checks)
    checks.require("record-signer", inner.signer == outer.signer, f"{SUBMISSION_FILE} is signed by somebody else")
    expected = outer.payload.model_copy(update={"pull_request": None, "commit": None})
    found = inner.payload.model_copy(update={"pull_request": None, "commit": None})
    differing = [name for name in Submission.model_fields if getattr(expected, name) != getattr(found, name)]
    checks.none("record-facts", differing, f"facts of {SUBMISSION_FILE} that differ from the signed submission")
