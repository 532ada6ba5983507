"""Answers challenges: the coordinator asks for snapshots of handed-in work, to train a stretch of it again.

    submissions/<task>-<attempt>-<first 8 of the key>/step-<8 digits>/weights.safetensors, ema..., optimizer...

They go into one further commit of the submission's pull request. After a restart it is found there again.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from paris.experts.files import file_sha256
from paris.node.errors import HubRefusedError, TransientHubError
from paris.node.hub.additions import additions
from paris.node.hub.client import Hub, translated
from paris.node.retry import LONGEST_WAIT_S, Backoff
from paris.node.swarm.coordinator_records import find_challenge
from paris.node.swarm.session import RunSession
from paris.node.view import EventKind
from paris.node.work.report import UnitReport
from paris.protocol.clock import Clock
from paris.protocol.counted import numbered
from paris.protocol.hub_layout import STATE_FILES, pull_request_ref, snapshot_paths, step_folder, submission_folder
from paris.protocol.run_records import SubmittedFile
from paris.protocol.work_records import Answer, Challenge, Submission

_logger = logging.getLogger(__name__)


class Answering:
    """Answers the challenges to one submission.

    Args:
        session: The run.
        hub: The run's Hub, with a token.
        submission: With its pull request.
        snapshots: Folder of the scheduled snapshots, which are kept until the verdict.
        report: Shows what is asked for, given, and missing.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        session: RunSession,
        hub: Hub,
        submission: Submission,
        snapshots: Path,
        report: UnitReport,
        clock: Clock = time.monotonic,
    ) -> None:
        self._session, self._hub, self._submission = session, hub, submission
        self._snapshots, self._report, self._clock = snapshots, report, clock
        self._backoff = Backoff(first_s=2.0, cap_s=LONGEST_WAIT_S)
        self._asked_for: tuple[int, ...] | None = None
        """The steps that were asked for last; the fields below are of them."""
        self._is_done = False
        """Whether they are answered, gone, or refused by the Hub."""
        self._num_failures, self._next_at = 0, 0.0
        self._described: tuple[SubmittedFile, ...] = ()
        """Their files, once they are read: they are large."""

    def answer(self) -> None:
        """Give what a new challenge asks for; while the Hub does not answer it is tried again, ever less often."""
        challenge = find_challenge(self._session.ways.read("challenge"), self._submission.lease_id)
        if challenge is None:
            return
        if challenge.steps != self._asked_for:
            self._asked_for, self._is_done, self._described = challenge.steps, False, ()
            self._num_failures, self._next_at = 0, self._clock()
        if self._is_done or self._clock() < self._next_at:
            return
        self._is_done = self._try_to_answer(challenge)

    def _try_to_answer(self, challenge: Challenge) -> bool:
        """Whether another try would change nothing."""
        steps = numbered("step", challenge.steps)
        missing = [path for path in self._files(challenge).values() if not path.is_file()]
        if missing:
            self._note(f"The coordinator asks for the state at {steps}, and {missing[0]} is gone: it cannot be given.")
            return True
        if not self._num_failures:
            self._note(f"The coordinator asks for the state at {steps}: uploading it.")
        try:
            self._session.announcer.publish(self._uploaded(challenge))
        except TransientHubError as error:
            _logger.debug("Answering a challenge failed", exc_info=True)
            self._num_failures += 1
            wait_s = self._backoff.wait_s(self._num_failures, error.retry_after_s)
            self._next_at = self._clock() + wait_s
            self._report.retrying(error, wait_s)
            return False
        except HubRefusedError as error:
            _logger.debug("Answering a challenge failed", exc_info=True)
            self._note(f"{error} It is not tried again before the next start.")
        return True

    def _note(self, text: str) -> None:
        self._report.event(EventKind.NOTE, text=text)

    def _files(self, challenge: Challenge) -> dict[str, Path]:
        """The files asked for, by their path in the repo."""
        s = self._submission
        place = submission_folder(s.task_id, s.attempt, self._session.public_key)
        return {
            path: self._snapshots / step_folder(step) / name
            for step in challenge.steps
            for path, name in zip(snapshot_paths(place, step), STATE_FILES, strict=True)
        }

    def _uploaded(self, challenge: Challenge) -> Answer:
        s, files = self._submission, self._files(challenge)
        described = self._described = self._described or tuple(
            SubmittedFile(path=path, sha256=file_sha256(file), bytes=file.stat().st_size)
            for path, file in files.items()
        )
        revision = pull_request_ref(s.pull_request or 0)
        commit = self._commit_with(described, revision) or self._new_commit(files, revision)
        return Answer(lease_id=s.lease_id, task_id=s.task_id, attempt=s.attempt, commit=commit, files=described)

    def _commit_with(self, described: tuple[SubmittedFile, ...], revision: str) -> str | None:
        """The pull request's head if an earlier try has put the files there."""
        s, paths = self._submission, [file.path for file in described]
        with translated(f"looking at pull request {s.pull_request}"):
            found: dict[str, Any] = {
                info.path: info
                for info in self._hub.api.get_paths_info(s.repo, paths, revision=revision, repo_type="model")
            }
            head = self._hub.api.repo_info(s.repo, repo_type="model", revision=revision).sha
        digests = {path: info.lfs.sha256 if info.lfs else None for path, info in found.items()}
        return str(head) if all(digests.get(file.path) == file.sha256 for file in described) else None

    def _new_commit(self, files: dict[str, Path], revision: str) -> str:
        doing, hub = f"uploading what {self._submission.repo} was asked for", self._hub
        with translated(doing), additions(files, hub.passed) as operations:
            info = hub.api.create_commit(
                self._submission.repo,
                operations,
                repo_type="model",
                commit_message="The states that the coordinator asked for",
                revision=revision,
            )
        return str(info.oid)
