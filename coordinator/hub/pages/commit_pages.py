"""Pages of a revision's history, of a commit with its changes, and of what a pull request changes."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response

from paris.coordinator.hub.access import find_repo
from paris.coordinator.hub.context import Call
from paris.coordinator.hub.discussions.diffs import Files, changed_paths, text_changes
from paris.coordinator.hub.pages.links import links_to
from paris.coordinator.hub.pages.rendering import page, render
from paris.coordinator.hub.repositories.repos import get_commit, history, listing_at, resolve
from paris.coordinator.hub.storage.blobs import BlobStore
from paris.coordinator.hub.storage.trees import FileEntry

_COMMITS_SHOWN = 50
_FILES_SHOWN = 100
_LINES_SHOWN = 5000
"""Of all files of a page together."""


@dataclass(frozen=True)
class FileChange:
    """How one file differs between two revisions."""

    path: str
    before: FileEntry | None
    after: FileEntry | None
    lines: list[str] | None
    """Of the unified diff; None where the files are compared by size and sha256 alone."""

    @property
    def what(self) -> str:
        """What happened to it, in a word."""
        return "added" if self.before is None else "deleted" if self.after is None else "changed"


@page
def get_history_page(call: Call) -> Response:
    """GET commits/{rev}: a revision's commits, newest first, in pages."""
    repo = find_repo(call)
    revision = call.params["rev"]
    # A page begins at a commit, not at a number: else each would read all commits before it.
    newest = resolve(call.reader, repo, call.first("from") or revision)
    commits = history(call.reader, repo, newest.oid, _COMMITS_SHOWN + 1)
    return render(
        call,
        "history.html",
        title=f"History of {revision}",
        tab="commits",
        repo=repo,
        links=links_to(call, repo, revision),
        commits=commits[:_COMMITS_SHOWN],
        following=commits[-1].oid if len(commits) > _COMMITS_SHOWN else None,
    )


@page
def get_commit_page(call: Call) -> Response:
    """GET commit/{oid}: a commit and what it changed."""
    repo = find_repo(call)
    commit = resolve(call.reader, repo, call.params["oid"])
    parent = get_commit(call.reader, repo, commit.parent) if commit.parent else None
    before = listing_at(call.reader, repo, parent).files if parent else {}
    after = listing_at(call.reader, repo, commit).files
    return render(
        call,
        "commit.html",
        title=commit.title,
        tab="commits",
        repo=repo,
        links=links_to(call, repo, commit.oid),
        commit=commit,
        changes=changes_between(call.hub.blobs, before, after),
    )


@dataclass(frozen=True)
class Changes:
    """How two revisions differ."""

    num_files: int
    shown: list[FileChange]
    """The first ones by path."""


def changes_between(blobs: BlobStore, before: Files, after: Files) -> Changes:
    """Compare two revisions: the lines of texts until there are too many, other files by size and sha256."""
    changed = sorted(changed_paths(before, after))
    shown: list[FileChange] = []
    num_lines = 0
    for path in changed[:_FILES_SHOWN]:
        old, new = before.get(path), after.get(path)
        lines = text_changes(blobs, old, new) if num_lines < _LINES_SHOWN else None
        num_lines += len(lines or ())
        shown.append(FileChange(path, old, new, lines))
    return Changes(len(changed), shown)
