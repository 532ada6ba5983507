"""Read a pull request at one commit: its files, their sizes, and their bytes under a hard cap.

Everything but `head_of` reads at a fixed commit, never at a ref that can move.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, RepoFile, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HTTPError, RevisionNotFoundError
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff

from paris.coordinator.errors import HubError
from paris.coordinator.hub_errors import use_hub_client
from paris.protocol.errors import reason_of
from paris.protocol.hub_answers import FOREIGN, looks_like_page
from paris.protocol.hub_session import ForeignAnswerError
from paris.protocol.secrets import keep_secret

_TIMEOUT_S = 30.0
_CHUNK_BYTES = 1 << 20


class NotOnHub(LookupError):
    """The commit or file does not exist on the Hub."""


class TooLarge(ValueError):
    """The Hub sent more bytes than the cap."""


@dataclass(frozen=True)
class RemoteFile:
    """The Hub's metadata of a file."""

    path: str
    num_bytes: int
    blob_id: str
    sha256: str | None
    """Digest of the content; None for a file outside LFS."""


class HubReads:
    """Read access to the run's model repo.

    Args:
        endpoint: URL of the Hub.
        token: The organiser's token, or None for a public repo.
        repo: `org/name`.
    """

    def __init__(self, endpoint: str, token: str | None, repo: str) -> None:
        use_hub_client()
        keep_secret(token)
        self._api = HfApi(endpoint=endpoint, token=token or False)
        self._endpoint = endpoint
        self._headers: dict[str, str] = build_hf_headers(token=token or False)
        self._repo = repo

    def head_of(self, pull_request: int) -> str | None:
        """The current head of a pull request, 40 hex digits; None if there is no such pull request."""
        try:
            with self._answers(f"pull request {pull_request} of {self._repo}"):
                return str(self._api.repo_info(self._repo, revision=f"refs/pr/{pull_request}").sha)
        except NotOnHub:
            return None

    def base_of(self, commit: str) -> str | None:
        """The newest commit of the main branch that this commit builds on; None if they share no history."""
        with self._answers(f"the history of {commit[:12]}"):
            main = {step.commit_id for step in self._api.list_repo_commits(self._repo, revision="main")}
            steps = [step.commit_id for step in self._api.list_repo_commits(self._repo, revision=commit)]
        return next((step for step in steps if step in main), None)

    def is_ancestor(self, commit: str, head: str) -> bool:
        """Whether `commit` is in the history of `head`."""
        with self._answers(f"the history of {head[:12]}"):
            return any(step.commit_id == commit for step in self._api.list_repo_commits(self._repo, revision=head))

    def files_at(self, commit: str) -> dict[str, RemoteFile]:
        """Every file of the repo at a commit, by path.

        Raises:
            NotOnHub: There is no such commit.
            HubError: The Hub does not answer, or refuses.
        """
        with self._answers(f"the files at {commit[:12]}"):
            entries = list(self._api.list_repo_tree(self._repo, recursive=True, revision=commit))
        return {entry.path: _remote(entry) for entry in entries if isinstance(entry, RepoFile)}

    def download(self, path: str, commit: str, target: Path, *, max_bytes: int) -> str:
        """Stream a file to disk, stopping at the first byte beyond the cap.

        Args:
            path: Within the repo.
            commit: 40 hex digits.
            target: Destination; written whole or not at all.
            max_bytes: Upper limit, independent of the size that the Hub announces.

        Returns:
            The SHA-256 of the bytes that arrived.

        Raises:
            NotOnHub: There is no such file.
            TooLarge: More than `max_bytes` came; nothing is kept.
            HubError: The Hub does not answer, refuses, or breaks off; nothing is kept.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.part")
        try:
            with self._answers(path):
                found = self._stream(path, commit, partial, max_bytes)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return found

    def _stream(self, path: str, commit: str, partial: Path, max_bytes: int) -> str:
        url = hf_hub_url(self._repo, path, revision=commit, endpoint=self._endpoint)
        # identity: a compressed response could be small on the wire and huge on disk.
        headers = {**self._headers, "accept-encoding": "identity"}
        hasher, received = hashlib.sha256(), 0
        request = http_stream_backoff(
            "GET", url, max_retries=2, headers=headers, timeout=_TIMEOUT_S, follow_redirects=True
        )
        with request as response, partial.open("wb") as file:
            hf_raise_for_status(response)
            for chunk in response.iter_raw(_CHUNK_BYTES):
                if received == 0 and looks_like_page(chunk):
                    raise ForeignAnswerError(f"{FOREIGN}: {path} came as a web page")
                received += len(chunk)
                if received > max_bytes:
                    raise TooLarge(f"{path} sent more than {max_bytes} bytes.")
                hasher.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        return hasher.hexdigest()

    @contextmanager
    def _answers(self, what: str) -> Iterator[None]:
        """Turn the client's errors into `NotOnHub`, which concerns the submission, or `HubError`."""
        try:
            yield
        except (RevisionNotFoundError, EntryNotFoundError) as error:
            raise NotOnHub(f"The Hub does not have {what}.") from error
        except (HfHubHTTPError, HTTPError, ConnectionError) as error:
            raise HubError(
                f"The Hub at {self._endpoint} did not give {what}: {reason_of(error)}.",
                "Check the endpoint, the repo and the token; verification is tried again.",
            ) from error


def _remote(entry: Any) -> RemoteFile:
    sha256 = entry.lfs.sha256 if entry.lfs else None
    return RemoteFile(entry.path, entry.lfs.size if entry.lfs else entry.size, entry.blob_id, sha256)
