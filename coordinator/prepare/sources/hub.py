"""A data set repo on a Hub as a source, read at one commit by the stock client; nothing is copied to disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from paris.coordinator.errors import HubError
from paris.coordinator.hub_errors import hub_errors, use_hub_client
from paris.coordinator.prepare.errors import SourceMissingError, SourceUnreachableError
from paris.coordinator.prepare.rows.drops import Dropped
from paris.coordinator.prepare.sources.policy import excluded
from paris.coordinator.prepare.sources.settings import HubSource
from paris.coordinator.prepare.sources.tree import SourceFile, included
from paris.protocol.hub_layout import PUBLIC_ENDPOINT
from paris.protocol.secrets import require_encrypted, require_token

if TYPE_CHECKING:
    from huggingface_hub import HfApi, HfFileSystem

TOKEN_VARIABLE = "PARIS_SOURCE_TOKEN"
FIRST_WAIT_S = 1.0
"""Wait before the first retry of a request; it doubles with each of five retries."""
_PREFIX = "hub:"
_BLOCK_BYTES = 2**20


class HubTree:
    """The files of a data set repo.

    Args:
        source: The repo and its Hub.
        commit: 40 hex digits; None: the current commit of the source's revision.

    Raises:
        SourceMissingError: There is no such repo or revision, or the token has no access.
        SourceUnreachableError: The Hub refused or did not answer.
    """

    def __init__(self, source: HubSource, commit: str | None = None) -> None:
        self._source = source
        self.name = f"{source.repo} at {source.revision}"
        with source_errors(source):
            info = None if commit else self.api.dataset_info(source.repo, revision=source.revision)
        self.commit = commit or str(info.sha if info else "")
        self.card_licence = _licence_of(info)
        """Licence in the header of README.md, or empty; unknown if `commit` was given."""

    @cached_property
    def api(self) -> HfApi:
        """The stock client for this endpoint, with this source's token only, never a saved one."""
        from huggingface_hub import HfApi, constants

        use_hub_client()
        if self._source.endpoint != PUBLIC_ENDPOINT:
            constants.HF_HUB_DISABLE_XET = True  # only the public Hub supports it
        text = os.environ.get(TOKEN_VARIABLE, "").strip()
        if not text:
            return HfApi(endpoint=self._source.endpoint, token=False)
        require_encrypted(self._source.endpoint, TOKEN_VARIABLE)
        return HfApi(endpoint=self._source.endpoint, token=require_token(text, TOKEN_VARIABLE))

    @cached_property
    def _files(self) -> HfFileSystem:
        from huggingface_hub import HfFileSystem

        return HfFileSystem(endpoint=self._source.endpoint, token=self.api.token)

    def files(self) -> Iterator[SourceFile | Dropped]:
        """As `Tree.files`."""
        from huggingface_hub import RepoFile

        with source_errors(self._source):
            listed = self.api.list_repo_tree(
                self._source.repo, recursive=True, revision=self.commit, repo_type="dataset"
            )
            for entry in listed:
                if isinstance(entry, RepoFile) and included(entry.path, self._source.include):
                    yield excluded(entry.path) or SourceFile(entry.path, self.commit)

    def open(self, path: str) -> BinaryIO:
        """As `Tree.open`; fetches ranges on demand."""
        with source_errors(self._source):
            name = f"datasets/{self._source.repo}@{self.commit}/{path}"
            return cast("BinaryIO", _HubFile(self._files.open(name, "rb", block_size=_BLOCK_BYTES), self._source))

    def location(self, path: str) -> str:
        """As `Tree.location`; all rows have the source's commit."""
        return f"{_PREFIX}{self.commit}:{path}"

    def read(self, path: str, start: int = 0, num_bytes: int | None = None) -> bytes:
        """Some bytes of a file, in one request.

        Raises:
            SourceUnreachableError: The Hub refused, or did not answer after several tries.
        """
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

        source = self._source
        url = hf_hub_url(source.repo, path, repo_type="dataset", revision=self.commit, endpoint=source.endpoint)
        headers = build_hf_headers(token=self.api.token)
        if num_bytes is not None:
            headers["range"] = f"bytes={start}-{start + num_bytes - 1}"
        with source_errors(source):
            response = _get(url, headers)
            hf_raise_for_status(response)
            data = bytes(response.content)
            if num_bytes is None:
                return data
            if response.status_code == 200:  # the range was ignored
                data = data[start : start + num_bytes]
            if len(data) != num_bytes:
                raise ConnectionError(f"{path} came with {len(data)} bytes at {start}, not {num_bytes}")
            return data


def _licence_of(info: Any) -> str:
    """The licence that a data set's card names, or empty."""
    card = getattr(info, "card_data", None)
    named = (card.get("license_name") or card.get("license")) if card is not None else None
    first = named[0] if isinstance(named, list) and named else named
    return first if isinstance(first, str) else ""


def _get(url: str, headers: dict[str, str]) -> Any:
    """GET with the stock client's retries."""
    from huggingface_hub import constants
    from huggingface_hub.utils import http_backoff

    timeout_s = constants.HF_HUB_DOWNLOAD_TIMEOUT
    return http_backoff("GET", url, headers=headers, timeout=timeout_s, base_wait_time=FIRST_WAIT_S)


class _HubFile:
    """A file of the stock client, with its errors turned into ours; readers seek, tell, read and close it.

    Args:
        file: The client's file.
        source: Named in the errors.
    """

    def __init__(self, file: Any, source: HubSource) -> None:
        self._file, self._source = file, source

    def __enter__(self) -> _HubFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, num_bytes: int = -1) -> bytes:
        """The next bytes.

        Raises:
            SourceUnreachableError: The Hub refused or did not answer.
        """
        with source_errors(self._source):
            return bytes(self._file.read(num_bytes))


@contextmanager
def source_errors(source: HubSource) -> Iterator[None]:
    """Turn exceptions of the stock client into errors of preparation.

    Raises:
        SourceMissingError: There is no such repo, revision or file, or the token has no access.
        SourceUnreachableError: The Hub refused or did not answer.
    """
    from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        with hub_errors(source.endpoint):
            try:
                yield
            except RevisionNotFoundError as error:
                raise SourceMissingError(
                    f"The data set {source.repo} at {source.endpoint} has no revision {source.revision!r}.",
                    "Set revision in [data.source] to a branch, tag or commit of it.",
                ) from error
            except (RepositoryNotFoundError, EntryNotFoundError, FileNotFoundError) as error:
                raise SourceMissingError(
                    f"There is no data set {source.repo} at {source.endpoint}, or the token has no access: "
                    f"{str(error).splitlines()[0].rstrip('.')}.",
                    f"Check repo and endpoint in [data.source], and the token in {TOKEN_VARIABLE}.",
                ) from error
    except HubError as error:
        raise SourceUnreachableError(
            f"The source cannot be read: {error.what}",
            "Check endpoint in [data.source]; once the Hub answers, run the same command to resume.",
        ) from error


def is_hub_location(whole: str) -> bool:
    """Whether a file's location is in a Hub repo."""
    return whole.startswith(_PREFIX)


def split_hub_location(whole: str) -> tuple[str, str]:
    """Commit and path of the location of a file in a Hub repo."""
    commit, _, path = whole.removeprefix(_PREFIX).partition(":")
    return commit, path
