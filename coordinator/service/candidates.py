"""Verified weights of earlier work, which later submissions are compared with.

They are on the machine that verified the work. A coordinator that took over on another one fetches them.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from paris.coordinator.errors import HubError, NotOnHubError
from paris.coordinator.run_hub.client import RunHub
from paris.coordinator.service.registering import path_in_repo, weights_file
from paris.coordinator.state.model import State, SubmissionState
from paris.experts.files import file_sha256
from paris.protocol.hub_layout import WEIGHTS_FILE

logger = logging.getLogger(__name__)


def candidate(hub: RunHub, folder: Path, state: State, known: SubmissionState) -> Path | None:
    """The verified weights of a submission.

    Args:
        hub: The run's repos.
        folder: The work folder of its verification; may be missing.
        state: The run's state.
        known: The submission, accepted.

    Returns:
        The file in the folder; None where neither the folder nor the Hub has it any more.

    Raises:
        HubError: The Hub did not answer, or has other bytes than were verified.
    """
    path = folder / "candidate" / WEIGHTS_FILE
    if path.is_file():
        return path
    for place, commit in _places(state, known):
        with suppress(NotOnHubError):
            logger.info("Fetching the weights of lease %s, which another machine verified.", folder.name[:8])
            _fetch(hub, place, commit, weights_file(known).sha256, path)
            return path
    return None


def _places(state: State, known: SubmissionState) -> Iterator[tuple[str, str]]:
    """Paths and commits that have the weights."""
    submission, weights = known.submission, weights_file(known)
    registration = state.tasks[submission.task_id].registration
    if registration is not None and registration.lease_id == submission.lease_id:
        yield registration.path, registration.commit
    elif known.head is not None:
        yield from ((file.path, known.head.commit) for file in known.head.files if file.sha256 == weights.sha256)
    elif known.phase == "accepted" and submission.commit is not None:
        yield path_in_repo(known, weights.path), submission.commit


def _fetch(hub: RunHub, place: str, commit: str, sha256: str, path: Path) -> None:
    folder = path.parent.parent / "fetched"
    try:
        found = hub.download(place, folder, commit)
        if file_sha256(found) != sha256:
            raise HubError(
                f"{place} at {commit[:12]} on the Hub is not what was verified.", "Restore it from a backup."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        found.replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
