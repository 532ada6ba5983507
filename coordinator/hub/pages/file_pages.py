"""Pages of a folder and of a file."""

from __future__ import annotations

from starlette.responses import Response

from paris.coordinator.hub.access import find_repo
from paris.coordinator.hub.context import Call
from paris.coordinator.hub.errors import entry_not_found
from paris.coordinator.hub.pages.contents import shown_contents
from paris.coordinator.hub.pages.links import Links, links_to
from paris.coordinator.hub.pages.rendering import page, render
from paris.coordinator.hub.repositories.repos import files_at, resolve

_ENTRIES_SHOWN = 200


@page
def get_folder_page(call: Call) -> Response:
    """GET tree/{rev}[/{path}]: the folders, then the files, of one folder, in pages."""
    repo = find_repo(call)
    revision = call.params["rev"]
    head = resolve(call.reader, repo, revision)
    path = call.params.get("path", "").strip("/")
    start, size = call.window(_ENTRIES_SHOWN)
    found = files_at(call.reader, repo, head).entries(path, start, size)
    if found is None:
        raise entry_not_found(path, head.oid)
    total, entries = found
    links = links_to(call, repo, revision)
    return render(
        call,
        "folder.html",
        title=f"{path or 'Files'} at {revision}",
        tab="tree",
        repo=repo,
        links=links,
        head=head,
        path=path,
        crumbs=_crumbs(links, path),
        entries=entries,
        total=total,
        start=start,
        following=start + size if start + size < total else None,
    )


@page
def get_file_page(call: Call) -> Response:
    """GET blob/{rev}/{path}: a file's size and sha256, and what can be shown of it."""
    repo = find_repo(call)
    revision, path = call.params["rev"], call.params["path"]
    head = resolve(call.reader, repo, revision)
    entry = files_at(call.reader, repo, head).find(path)
    if entry is None:
        raise entry_not_found(path, head.oid)
    links = links_to(call, repo, revision)
    return render(
        call,
        "file.html",
        title=path,
        tab="tree",
        repo=repo,
        links=links,
        head=head,
        path=path,
        crumbs=_crumbs(links, path),
        entry=entry,
        shown=shown_contents(call, path, entry, links),
    )


def _crumbs(links: Links, path: str) -> list[tuple[str, str]]:
    """Name and address of each folder on the way to a path, without the path itself."""
    parts = path.split("/")[:-1]
    return [(part, links.at("tree", "/".join(parts[: index + 1]))) for index, part in enumerate(parts)]
