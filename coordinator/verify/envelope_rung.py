"""Rung 1: the lease holder signed these files, the pull request changes nothing else, and the download matches them.

Sizes and digests are compared with the Hub's metadata before the first byte is fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from paris.coordinator.errors import HubError
from paris.coordinator.verify.case import VerificationCase
from paris.coordinator.verify.hub_reads import HubReads, NotOnHub, RemoteFile, TooLarge
from paris.coordinator.verify.leg_chain import check_chain, check_stretch
from paris.coordinator.verify.report import Checks
from paris.protocol.chain import Chain
from paris.protocol.envelope import Envelope, open_envelope
from paris.protocol.errors import ParisError
from paris.protocol.hub_layout import CHAIN_FILE, SUBMISSION_FILE, WEIGHTS_FILE, submission_folder
from paris.protocol.limits import MAX_CLOCK_SKEW_S
from paris.protocol.run_records import SubmittedFile
from paris.protocol.work_records import Submission


@dataclass(frozen=True)
class Candidate:
    """The submitted weights, pinned to one commit: what the later rungs judge."""

    submission: Submission
    commit: str
    pull_request: int
    path: str
    sha256: str
    num_bytes: int
    chain: Chain | None
    """Of a leg."""


def check_envelope(case: VerificationCase, checks: Checks, max_bytes: Mapping[str, int]) -> Candidate:
    """Check signature, lease and files, and download them to `case.file`, a leg's chain to `case.chain`.

    Args:
        case: The submission and its context.
        checks: Records the measurements.
        max_bytes: Largest file of each name that the run's model can need.

    Raises:
        CheckFailed: A check failed; nothing of the submission is kept.
        HubError: The Hub did not answer or refused.
    """
    envelope = _open_signed(case.submission.encode(), case, checks)
    submission = envelope.payload
    _check_lease(case, envelope, checks)
    declared = _declared_files(case, submission, checks, max_bytes)
    commit, pull_request = submission.commit, submission.pull_request
    named = f"the submission names pull request {pull_request or 'none'}, commit {str(commit or 'none')[:12]}"
    checks.require("pinned", commit is not None and pull_request is not None, named)
    if commit is None or pull_request is None:
        raise ValueError("A submission without a commit passed the check that requires one.")
    hub = HubReads(case.hub_endpoint, case.token, case.run.model_repo)
    _check_head(hub, pull_request, commit, case, checks)
    present = _check_changes(hub, commit, case, checks)
    folder = submission_folder(case.task.task_id, case.lease.attempt, case.lease.volunteer)
    remote = _check_metadata(present, folder, declared, case, checks)
    _check_inner_record(hub, f"{folder}/{SUBMISSION_FILE}", commit, envelope, case, checks)
    chain = None
    for name, file in declared.items():  # of a leg the chain comes first
        target = case.chain if name == CHAIN_FILE else case.file(name)
        _fetch(hub, remote[name], commit, file, target, checks)
        if name == CHAIN_FILE and case.leg is not None:
            chain = check_chain(case, case.leg, submission, checks)
    weights = declared[WEIGHTS_FILE]
    checks.at_most("size", weights.bytes, max_bytes[WEIGHTS_FILE], "bytes of the checkpoint")
    path = remote[WEIGHTS_FILE].path
    return Candidate(submission, commit, pull_request, path, weights.sha256, weights.bytes, chain)


def _open_signed(data: bytes, case: VerificationCase, checks: Checks) -> Envelope[Submission]:
    """Open a sealed submission; an invalid one fails a check."""
    try:
        envelope = open_envelope(data, run_id=case.run_id, coordinator=case.coordinator, now=None)
    except (ParisError, ValueError) as error:
        checks.require("signature", False, f"the record is not valid: {str(error)[:120]}")
        raise
    note = f"the record is of kind {envelope.kind}, expected is submission"
    checks.require("kind", isinstance(envelope.payload, Submission), note)
    return envelope  # type: ignore[return-value]


def _check_lease(case: VerificationCase, envelope: Envelope[Submission], checks: Checks) -> None:
    submission, lease, task = envelope.payload, case.lease, case.task
    checks.require("signature", True, "the signature is valid")
    holder = f"signed by {envelope.signer[:12]}, the lease is held by {lease.volunteer[:12]}"
    checks.require("lease-holder", envelope.signer == lease.volunteer, holder)
    note = f"the submission names the lease {submission.lease_id[:12]}, held is {lease.lease_id[:12]}"
    checks.require("lease-id", submission.lease_id == lease.lease_id, note)
    note = f"the submission names {submission.task_id}, the lease is for {lease.task_id}"
    checks.require("task", submission.task_id == lease.task_id == task.task_id, note)
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
    check_stretch(case, submission, checks)
    note = f"the submission names the repo {submission.repo}, the run's is {case.run.model_repo}"
    checks.require("repo", submission.repo == case.run.model_repo, note)


def _declared_files(
    case: VerificationCase, submission: Submission, checks: Checks, max_bytes: Mapping[str, int]
) -> dict[str, SubmittedFile]:
    """The declared files by name; their paths may be relative to the repo or to the submission's folder."""
    folder = submission_folder(case.task.task_id, case.lease.attempt, case.lease.volunteer)
    names = case.submitted_files(submission.steps)
    by_path = {file.path.removeprefix(f"{folder}/"): file for file in submission.files}
    odd = [path for path in by_path if path not in names]
    checks.none("declared-files", odd, f"declared files other than {', '.join(names)}")
    checks.at_most("file-count", len(submission.files), len(names), "declared files")
    checks.none("undeclared-files", [name for name in names if name not in by_path], "files that are not declared")
    for name in names:
        what = "checkpoint" if name == WEIGHTS_FILE else name
        checks.at_most("declared-size", by_path[name].bytes, max_bytes[name], f"declared bytes of the {what}")
    return {name: by_path[name] for name in names}


def _check_head(hub: HubReads, pull_request: int, commit: str, case: VerificationCase, checks: Checks) -> None:
    head = hub.head_of(pull_request)
    if head is None:
        checks.require("pull-request", False, f"there is no pull request {pull_request} on the Hub")
        return
    if head == commit or head in [answer.commit for answer in case.answers]:
        return
    note = f"pull request {pull_request} points to {head[:12]}, the volunteer signed {commit[:12]}"
    tolerated = case.bounds.allow_moved_head and hub.is_ancestor(commit, head)
    checks.require("head", tolerated, note)
    checks.remark(f"{note}; the signed commit was judged")


def _check_changes(hub: HubReads, commit: str, case: VerificationCase, checks: Checks) -> dict[str, RemoteFile]:
    """Check that the pull request changes its own folder only; return the repo's files at the commit."""
    try:
        base, present = hub.base_of(commit), hub.files_at(commit)
    except NotOnHub as error:
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


def _check_metadata(
    present: dict[str, RemoteFile],
    folder: str,
    declared: Mapping[str, SubmittedFile],
    case: VerificationCase,
    checks: Checks,
) -> dict[str, RemoteFile]:
    """Compare the Hub's metadata with the signed submission, before any byte is fetched."""
    here = {path: file for path, file in present.items() if path.startswith(f"{folder}/")}
    allowed = {f"{folder}/{name}" for name in (*declared, SUBMISSION_FILE)}
    checks.none("extra-files", sorted(here.keys() - allowed), "files beside the declared ones")
    checks.none("missing-files", sorted(allowed - here.keys()), "files that are missing")
    for name, file in declared.items():
        remote = here[f"{folder}/{name}"]
        checks.at_most("hub-size", remote.num_bytes, file.bytes, "bytes on the Hub against the signed number")
        checks.at_least("hub-size", remote.num_bytes, file.bytes, "bytes on the Hub against the signed number")
        same = remote.sha256 is None or remote.sha256 == file.sha256
        held = "no digest" if remote.sha256 is None else remote.sha256[:12]
        checks.require("hub-digest", same, f"the Hub lists {held}, signed was {file.sha256[:12]}")
    record = here[f"{folder}/{SUBMISSION_FILE}"]
    checks.at_most("record-size", record.num_bytes, case.bounds.max_json_bytes, f"bytes of {SUBMISSION_FILE}")
    return {name: here[f"{folder}/{name}"] for name in declared}


def _fetch(
    hub: HubReads, remote: RemoteFile, commit: str, declared: SubmittedFile, target: Path, checks: Checks
) -> None:
    try:
        found = hub.download(remote.path, commit, target, max_bytes=declared.bytes)
    except TooLarge as error:
        checks.require("download-size", False, str(error))
        raise
    if found != declared.sha256:
        target.unlink()
        if remote.sha256 == declared.sha256:
            raise HubError(
                f"{remote.path} arrived with digest {found[:12]}, and the Hub lists {remote.sha256[:12]}.",
                "Something between this machine and the Hub changed it; verification is tried again.",
            )
    checks.require(
        "digest", found == declared.sha256, f"the bytes have digest {found[:12]}, signed was {declared.sha256[:12]}"
    )


def _check_inner_record(
    hub: HubReads, path: str, commit: str, outer: Envelope[Submission], case: VerificationCase, checks: Checks
) -> None:
    """Check that the signed copy inside the pull request agrees, but for what only the record in the DHT has."""
    local = case.work_dir / SUBMISSION_FILE
    try:
        hub.download(path, commit, local, max_bytes=case.bounds.max_json_bytes)
    except TooLarge as error:
        checks.require("record-size", False, str(error))
        raise
    inner = _open_signed(local.read_bytes().strip(), case, checks)
    note = f"{SUBMISSION_FILE} is signed by {inner.signer[:12]}, the submission by {outer.signer[:12]}"
    checks.require("record-signer", inner.signer == outer.signer, note)
    only_outside = {"pull_request": None, "commit": None, "lease": None}
    expected, found = (record.payload.model_copy(update=only_outside) for record in (outer, inner))
    differing = [name for name in Submission.model_fields if getattr(expected, name) != getattr(found, name)]
    checks.none("record-facts", differing, f"facts of {SUBMISSION_FILE} that differ from the signed submission")
