"""A data set repo on a Hub as a source: the stock client reads it at one commit; nothing is copied to disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from paris.coordinator.errors import HubError
from paris.coordinator.prepare.errors import SourceMissingError, SourceUnreachableError
from paris.coordinator.prepare.sources.settings import HubSource
from paris.coordinator.prepare.sources.tree import SourceFile, included
from paris.protocol.hub_layout import PUBLIC_ENDPOINT

if TYPE_CHECKING:
    from huggingface_hub import HfApi, HfFileSystem

TOKEN_VARIABLE = "PARIS_SOURCE_TOKEN"
FIRST_WAIT_S = 1.0
"""Before a request is repeated the first time; it doubles from try to try, five times."""
_PREFIX = "hub:"
_BLOCK_BYTES = 2**20


class HubTree:
    """The files of a data set repo.

    Args:
        source: Which repo, where.
        commit: 40 hex digits; None: what the source's revision points at now.

    Raises:
        SourceMissingError: There is no such repo or revision, or the token may not see it.
        SourceUnreachableError: The Hub refused, or did not answer.
    """

    def __init__(self, source: HubSource, commit: str | None = None) -> None:
        self._source = source
        self.name = f"{source.repo} at {source.revision}"
        with source_errors(source):
            self.commit = commit or str(self.api.dataset_info(source.repo, revision=source.revision).sha)

    @cached_property
    def api(self) -> HfApi:
        """The stock client for this endpoint, with this source's token alone and never with a saved one."""
        from huggingface_hub import HfApi, constants

        if self._source.endpoint != PUBLIC_ENDPOINT:
            constants.HF_HUB_DISABLE_XET = True  # only the public Hub speaks it
        return HfApi(endpoint=self._source.endpoint, token=os.environ.get(TOKEN_VARIABLE) or False)

    @cached_property
    def _files(self) -> HfFileSystem:
        from huggingface_hub import HfFileSystem

        return HfFileSystem(endpoint=self._source.endpoint, token=self.api.token)

    def files(self) -> Iterator[SourceFile]:
        """As `Tree.files`."""
        from huggingface_hub import RepoFile

        with source_errors(self._source):
            listed = self.api.list_repo_tree(
                self._source.repo, recursive=True, revision=self.commit, repo_type="dataset"
            )
            for entry in listed:
                if isinstance(entry, RepoFile) and included(entry.path, self._source.include):
                    yield SourceFile(entry.path, self.commit)

    def open(self, path: str) -> BinaryIO:
        """As `Tree.open`; reads ranges as they are asked for."""
        with source_errors(self._source):
            name = f"datasets/{self._source.repo}@{self.commit}/{path}"
            return cast("BinaryIO", _Named(self._files.open(name, "rb", block_size=_BLOCK_BYTES), self._source))

    def location(self, path: str) -> str:
        """As `Tree.location`; the commit is the source's, and is the same for all rows."""
        return f"{_PREFIX}{self.commit}:{path}"

    def read(self, path: str, start: int = 0, num_bytes: int | None = None) -> bytes:
        """Some bytes of a file, by one request.

        Raises:
            SourceUnreachableError: The Hub refused, or did not answer after some tries.
        """
        from huggingface_hub import constants, hf_hub_url
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_backoff

        source = self._source
        url = hf_hub_url(source.repo, path, repo_type="dataset", revision=self.commit, endpoint=source.endpoint)
        headers = build_hf_headers(token=self.api.token)
        if num_bytes is not None:
            headers["range"] = f"bytes={start}-{start + num_bytes - 1}"
        with source_errors(source):
            timeout_s = constants.HF_HUB_DOWNLOAD_TIMEOUT
            answer = http_backoff("GET", url, headers=headers, timeout=timeout_s, base_wait_time=FIRST_WAIT_S)
            hf_raise_for_status(answer)
            return bytes(answer.content)


class _Named:
    """A file of the stock client whose errors are ours; readers seek, tell, read and close it.

    Args:
        file: The client's file.
        source: Named in the errors.
    """

    def __init__(self, file: Any, source: HubSource) -> None:
        self._file, self._source = file, source

    def __enter__(self) -> _Named:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, num_bytes: int = -1) -> bytes:
        """The next bytes.

        Raises:
            SourceUnreachableError: The Hub refused, or did not answer.
        """
        with source_errors(self._source):
            return bytes(self._file.read(num_bytes))


@contextmanager
def source_errors(source: HubSource) -> Iterator[None]:
    """Turn what the stock client raises into errors of preparation.

    Raises:
        SourceMissingError: No such repo, revision or file, or not for this token.
        SourceUnreachableError: The Hub refused, or did not answer.
    """
    from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    from paris.coordinator.hub_errors import hub_errors

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
                    f"There is no data set {source.repo} at {source.endpoint}, or the token may not see it: "
                    f"{str(error).splitlines()[0].rstrip('.')}.",
                    f"Check repo and endpoint in [data.source], and the token in {TOKEN_VARIABLE}.",
                ) from error
    except HubError as error:
        raise SourceUnreachableError(
            f"The source cannot be read: {error.what}",
            "Check endpoint in [data.source]; when the Hub answers again, the same command goes on.",
        ) from error


def is_hub_location(whole: str) -> bool:
    """Whether the location of a file is in a repo of a Hub."""
    return whole.startswith(_PREFIX)


def split_hub_location(whole: str) -> tuple[str, str]:
    """Commit and path of a file's location."""
    commit, _, path = whole.removeprefix(_PREFIX).partition(":")
    return commit, path
