"""What is on a Hub, read with the stock client, so from the public and the embedded Hub alike; as JSON values.

Names and texts are those of strangers: `browsing_tables.py` makes them printable.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paris.coordinator.errors import NotOnHubError
from paris.coordinator.hub_errors import hub_errors
from paris.coordinator.run_hub.client import make_api
from paris.protocol.hub_layout import PUBLIC_ENDPOINT, VERDICT_MARK

if TYPE_CHECKING:
    from huggingface_hub import DiscussionWithDetails, HfApi

_MAX_REPOS = 200
_MAX_FILES = 1000
_MAX_PULLS = 20
"""Each takes a request, for what became of it."""
_MAX_TEXT_BYTES = 256 * 1024
_DATASETS = "datasets/"
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_MARKS = re.compile(r"\*\*|`|\\(?=[\\|<>\[\]`])")


@dataclass(frozen=True)
class HubReader:
    """Reads the repositories of one Hub.

    Args:
        endpoint: URL without a trailing slash.
        token: None: only what everybody may read.
        own_repos: Addresses of the run's repositories; empty where none is preferred.
    """

    endpoint: str
    token: str | None = None
    own_repos: tuple[str, ...] = ()

    @cached_property
    def api(self) -> HfApi:
        """The stock client."""
        return make_api(self.endpoint, self.token)

    def repos(self) -> list[dict[str, Any]]:
        """The repositories: on the public Hub the run's, or those with the tag `paris`; on any other Hub all."""
        with self._errors():
            if self.endpoint == PUBLIC_ENDPOINT and self.own_repos:
                own = map(_split, self.own_repos)
                return [_repo_row(self.api.repo_info(name, repo_type=kind)) for name, kind in own]
            tag = "paris" if self.endpoint == PUBLIC_ENDPOINT else None
            models = self.api.list_models(filter=tag, limit=_MAX_REPOS, full=True)
            return [_repo_row(info) for info in (*models, *self.api.list_datasets(filter=tag, limit=_MAX_REPOS))]

    def repo(self, address: str, revision: str | None) -> dict[str, Any]:
        """One repository: its card, files, branches, tags, and newest pull requests with what became of them.

        Args:
            address: `org/name`, or `datasets/org/name`.
            revision: Of card and files; None for main.

        Raises:
            NotOnHubError, HubError: As `hub_errors`.
        """
        name, kind = _split(address)
        with self._errors():
            info = self.api.repo_info(name, repo_type=kind, revision=revision)
            refs = self.api.list_repo_refs(name, repo_type=kind)
            pulls = islice(self.api.get_repo_discussions(name, repo_type=kind), _MAX_PULLS)
            cards = self.api.get_paths_info(name, ["README.md"], repo_type=kind, revision=info.sha)
            return {
                **_repo_row(info),
                "card": self._text(name, kind, cards[0], info.sha) if cards else None,
                "files": self._entries(name, kind, None, info.sha),
                "refs": [
                    {"kind": what, "name": ref.name, "commit": ref.target_commit}
                    for what, found in (("branch", refs.branches), ("tag", refs.tags))
                    for ref in found
                ],
                "pull_requests": [self._pull_row(name, kind, pull) for pull in pulls],
            }

    def path(self, address: str, path: str, revision: str | None) -> dict[str, Any]:
        """A folder's entries, a safetensors file's header, a text, or the size of any other file.

        Args:
            address: As of `repo`.
            path: In the repository.
            revision: None for main.

        Raises:
            NotOnHubError: There is no such path.
            HubError: As `hub_errors`.
        """
        from huggingface_hub import RepoFolder

        name, kind = _split(address)
        path = path.strip("/")
        with self._errors():
            found = self.api.get_paths_info(name, [path], repo_type=kind, revision=revision)
            if found and isinstance(found[0], RepoFolder):
                return {"path": path, "files": self._entries(name, kind, path, revision)}
            if found and path.endswith(".safetensors"):
                return {**_entry(found[0]), **self._header(name, kind, path, revision)}
            if found:
                return {**_entry(found[0]), "text": self._text(name, kind, found[0], revision)}
        raise NotOnHubError(f"{address} has no {path}.", "Its files are shown without a path.")

    def pull_request(self, address: str, number: int) -> dict[str, Any]:
        """One discussion or pull request with its comments; the signed verdict in a comment is left out."""
        from huggingface_hub import DiscussionComment

        name, kind = _split(address)
        with self._errors():
            details = self.api.get_discussion_details(name, number, repo_type=kind)
            comments = [
                {"author": event.author, "created_at": str(event.created_at), "text": _unsealed(event.content)}
                for event in details.events
                if isinstance(event, DiscussionComment)
            ]
            return {**_pull_row(details), "outcome": outcome_of(details), "comments": comments}

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from huggingface_hub.errors import SafetensorsParsingError

        try:
            with hub_errors(self.endpoint):
                yield
        except SafetensorsParsingError as error:
            raise NotOnHubError("The file is no readable safetensors file.", "Download it to see its bytes.") from error

    def _entries(self, name: str, kind: str, folder: str | None, revision: str | None) -> list[dict[str, Any]]:
        found = self.api.list_repo_tree(name, folder, recursive=folder is None, repo_type=kind, revision=revision)
        return [_entry(entry) for entry in islice(found, _MAX_FILES) if folder is not None or hasattr(entry, "size")]

    def _header(self, name: str, kind: str, path: str, revision: str | None) -> dict[str, Any]:
        header = self.api.parse_safetensors_file_metadata(name, path, repo_type=kind, revision=revision)
        tensors = [
            {
                "name": name,
                "dtype": str(info.dtype),
                "shape": list(info.shape),
                "bytes": info.data_offsets[1] - info.data_offsets[0],
            }
            for name, info in header.tensors.items()
        ]
        return {"tensors": tensors, "metadata": dict(header.metadata or {})}

    def _text(self, name: str, kind: str, file: Any, revision: str | None) -> str | None:
        """A file as text; None where it is none, or too large."""
        if file.size > _MAX_TEXT_BYTES:
            return None
        with tempfile.TemporaryDirectory() as folder:
            local = self.api.hf_hub_download(name, file.path, repo_type=kind, revision=revision, local_dir=folder)
            data = Path(local).read_bytes()
        return None if b"\0" in data else data.decode(errors="replace")

    def _pull_row(self, name: str, kind: str, pull: Any) -> dict[str, Any]:
        closed = pull.is_pull_request and pull.status == "closed"
        details = self.api.get_discussion_details(name, pull.num, repo_type=kind) if closed else None
        return {**_pull_row(pull), "outcome": outcome_of(details) if details else ""}


def outcome_of(details: DiscussionWithDetails) -> str:
    """What became of a pull request: the first line of what its closer wrote last, if that was not its author."""
    from huggingface_hub import DiscussionComment, DiscussionStatusChange

    changes = [event for event in details.events if isinstance(event, DiscussionStatusChange)]
    closers = [event.author for event in changes if event.new_status == "closed"]
    if details.status != "closed" or not closers or closers[-1] == details.author:
        return ""
    comments = [event for event in details.events if isinstance(event, DiscussionComment)]
    said = [event.content for event in comments if event.author == closers[-1]]
    return plain_text(said[-1].lstrip().partition("\n")[0]) if said else ""


def plain_text(markdown: str) -> str:
    """A text in Markdown without its links' targets, bold and code marks, and the backslashes before others."""
    return _MARKS.sub("", _LINK.sub(r"\1", markdown))


def _unsealed(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if not line.startswith(VERDICT_MARK)).rstrip()


def _split(address: str) -> tuple[str, str]:
    """Name and type of the repository at an address."""
    is_dataset = address.startswith(_DATASETS)
    return address.removeprefix(_DATASETS), "dataset" if is_dataset else "model"


def _repo_row(info: Any) -> dict[str, Any]:
    is_dataset = type(info).__name__ == "DatasetInfo"
    return {
        "repo": (_DATASETS if is_dataset else "") + info.id,
        "private": bool(info.private),
        "changed_at": str(info.last_modified or ""),
        "commit": info.sha,
        "tags": list(info.tags or ()),
    }


def _entry(entry: Any) -> dict[str, Any]:
    lfs = getattr(entry, "lfs", None)
    return {"path": entry.path, "bytes": getattr(entry, "size", None), "sha256": lfs.sha256 if lfs else None}


def _pull_row(pull: Any) -> dict[str, Any]:
    return {
        "number": pull.num,
        "title": pull.title,
        "author": pull.author,
        "status": pull.status,
        "is_pull_request": pull.is_pull_request,
        "created_at": str(pull.created_at),
    }
