"""Reading a repository's shape: folders, single paths, commits and refs."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from paris.coordinator.hub.access import find_repo
from paris.coordinator.hub.context import Call
from paris.coordinator.hub.errors import bad_request, entry_not_found
from paris.coordinator.hub.repositories.repos import Commit, Repo, history, listing_at, resolve
from paris.coordinator.hub.storage.trees import FileEntry, Listing, lfs_pointer
from paris.coordinator.hub.timestamps import timestamp

_MAX_COMMITS_SEARCHED = 1000
_EXPANDED_PAGE = 50


class _Paths(BaseModel):
    paths: list[str] = Field(default=[], max_length=10_000)
    expand: bool = False


def get_tree(call: Call) -> Response:
    """GET tree/{rev}[/{path}]: the entries of a folder, with `recursive` all entries below it."""
    repo = find_repo(call)
    commit = resolve(call.reader, repo, call.params["rev"])
    listing = listing_at(call.reader, repo, commit)
    folder = call.params.get("path", "").strip("/")
    if folder and folder not in listing.folders:
        raise entry_not_found(folder, commit.oid)
    below = sorted([*_below(folder, listing.files), *_below(folder, listing.folders)])
    if not call.flag("recursive"):
        depth = folder.count("/") + 1 if folder else 0
        below = [path for path in below if path.count("/") == depth]
    page_entries = call.hub.limits.page_entries
    start, size = call.window(min(_EXPANDED_PAGE, page_entries) if call.flag("expand") else page_entries)
    paths = below[start : start + size]
    entries = _describe(call, repo, commit, listing, paths, expand=call.flag("expand"))
    return call.page(entries, start + size if start + size < len(below) else None)


def _below(folder: str, paths: dict[str, Any]) -> list[str]:
    return [path for path in paths if not folder or path.startswith(folder + "/")]


def post_paths_info(call: Call) -> Response:
    """POST paths-info/{rev}: the entries of given paths, without missing ones."""
    repo = find_repo(call)
    commit = resolve(call.reader, repo, call.params["rev"])
    if call.request.headers.get("content-type", "").startswith("application/json"):
        wanted = call.parse(_Paths)
    else:
        try:
            form = parse_qs(call.body.decode(), max_num_fields=20_000)
        except (UnicodeDecodeError, ValueError) as error:
            raise bad_request("The body is not a form.") from error
        wanted = _Paths(
            paths=form.get("paths", [])[:10_000], expand=form.get("expand", [""])[0].lower() in ("1", "true")
        )
    listing = listing_at(call.reader, repo, commit)
    paths = [
        path for path in (path.strip("/") for path in wanted.paths) if path in listing.files or path in listing.folders
    ]
    return JSONResponse(_describe(call, repo, commit, listing, paths, expand=wanted.expand))


def _describe(
    call: Call, repo: Repo, commit: Commit, listing: Listing, paths: list[str], *, expand: bool
) -> list[dict[str, Any]]:
    """Entries in the form of the client, with the last commit of each if `expand` is set."""
    entries = []
    for path in paths:
        entry: dict[str, Any] = {"type": "directory", "oid": listing.folders.get(path, ""), "size": 0, "path": path}
        if path in listing.files:
            entry = _file_json(path, listing.files[path])
        entries.append(entry)
    if expand:
        changed_by = _last_changes(call, repo, commit, paths)
        for entry in entries:
            last = changed_by[entry["path"]]
            entry["lastCommit"] = {"id": last.oid, "title": last.title, "date": timestamp(last.created_at)}
    return entries


def _file_json(path: str, entry: FileEntry) -> dict[str, Any]:
    described: dict[str, Any] = {"type": "file", "oid": entry.git_oid, "size": entry.size, "path": path}
    if entry.is_lfs:
        pointer_bytes = len(lfs_pointer(entry.sha256, entry.size))
        described["lfs"] = {"oid": entry.sha256, "size": entry.size, "pointerSize": pointer_bytes}
    return described


def _last_changes(call: Call, repo: Repo, commit: Commit, paths: list[str]) -> dict[str, Commit]:
    """The commit that last changed each path; for very old changes the oldest searched commit."""
    commits = history(call.reader, repo, commit.oid, _MAX_COMMITS_SEARCHED)
    open_paths = set(paths)
    found: dict[str, Commit] = {}
    after = listing_at(call.reader, repo, commit)
    for newer, older in pairwise(commits):
        before = listing_at(call.reader, repo, older)
        changed = {path for path in open_paths if _oid(before, path) != _oid(after, path)}
        found |= dict.fromkeys(changed, newer)
        open_paths -= changed
        if not open_paths:
            break
        after = before
    return found | dict.fromkeys(open_paths, commits[-1])


def _oid(listing: Listing, path: str) -> str | None:
    entry = listing.files.get(path)
    return entry.git_oid if entry else listing.folders.get(path)


def get_commits(call: Call) -> Response:
    """GET commits/{rev}: a revision's history, newest first."""
    repo = find_repo(call)
    head = resolve(call.reader, repo, call.params["rev"])
    start, size = call.window(call.hub.limits.page_entries)
    # One more than the page has, to know whether there is a next page.
    commits = history(call.reader, repo, head.oid, start + size + 1)
    page = [
        {
            "id": commit.oid,
            "title": commit.title,
            "message": commit.message,
            "authors": [{"user": commit.author}],
            "date": timestamp(commit.created_at),
        }
        for commit in commits[start : start + size]
    ]
    return call.page(page, start + size if start + size < len(commits) else None)
