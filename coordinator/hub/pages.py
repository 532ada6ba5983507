"""Three plain HTML pages: all repositories, one repository, one discussion. No scripts, no external resources."""

from __future__ import annotations

from html import escape
from itertools import islice
from typing import Any
from urllib.parse import quote

from starlette.responses import HTMLResponse, Response

from paris.coordinator.hub.access import find_repo
from paris.coordinator.hub.context import Call
from paris.coordinator.hub.discussions.threads import LIVE, ThreadFilter, events_of, get_thread
from paris.coordinator.hub.names import check_number
from paris.coordinator.hub.repositories.cards import derive_tags, read_card
from paris.coordinator.hub.repositories.repos import TAG, Repo, listing_at, resolve, visible_repos
from paris.coordinator.hub.timestamps import timestamp

_REPOS_SHOWN = 100
_THREADS_SHOWN = 100
_MAX_FILES_SHOWN = 500
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "pre{white-space:pre-wrap;background:#f6f6f4;padding:1rem}td,th{text-align:left;padding:.1rem 1rem .1rem 0}"
    ".tag{background:#eee;border-radius:4px;padding:0 .4rem;margin-right:.3rem}"
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def _page(title: str, body: str) -> Response:
    text = (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(title)}</title>"
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>"
    )
    return HTMLResponse(text, headers={"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"})


def _table(head: list[str], rows: list[list[str]]) -> str:
    """A table of HTML cells."""
    if not rows:
        return "<p>None.</p>"
    top = "".join(f"<th>{cell}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{lines}</table>"


def _link(call: Call, path: str, text: str) -> str:
    return f"<a href='{escape(call.base_url, quote=True)}/{quote(path)}'>{escape(text)}</a>"


def _tags(tags: list[str]) -> str:
    return " ".join(f"<span class='tag'>{escape(tag)}</span>" for tag in tags)


def get_index(call: Call) -> Response:
    """GET /: one page of the repositories that the user may see."""
    start, size = call.window(_REPOS_SHOWN)
    cells = []
    found = visible_repos(call.reader, call.user, order="name", offset=start)
    for repo, commit in islice(found, size):
        listing = listing_at(call.reader, repo, commit)
        card, _ = read_card(call.hub.blobs, listing)
        live = ThreadFilter(statuses=LIVE).count(call.reader, repo)
        tags = _tags(derive_tags(card, listing))
        cells.append([_link(call, repo.web_path, repo.full_name), repo.type, str(len(listing.files)), str(live), tags])
    more = f"<p><a href='?cursor={start + size}'>Next page</a></p>" if next(found, None) else ""
    return _page("Repositories", _table(["name", "type", "files", "open discussions", "tags"], cells) + more)


def get_repo_page(call: Call) -> Response:
    """GET {owner}/{name}: a repository's card as text, its tags, discussions and files."""
    repo = find_repo(call)
    commit = resolve(call.reader, repo, "main")
    listing = listing_at(call.reader, repo, commit)
    card, text = read_card(call.hub.blobs, listing)
    refs = call.reader.execute("SELECT name FROM refs WHERE repo = ? ORDER BY name", (repo.id,)).fetchall()
    releases = [row["name"].removeprefix(TAG) for row in refs if row["name"].startswith(TAG)]
    files = [
        [_link(call, f"{repo.web_path}/resolve/main/{path}", path), str(entry.size)]
        for path, entry in list(listing.files.items())[:_MAX_FILES_SHOWN]
    ]
    body = (
        f"<p>{_tags(derive_tags(card, listing))}</p><p>Revision {commit.oid}, {timestamp(commit.created_at)}</p>"
        f"<h2>Card</h2><pre>{escape(text)}</pre><h2>Discussions and pull requests</h2>{_threads(call, repo)}"
        f"<h2>Releases</h2><p>{_tags(releases) or 'None.'}</p>"
        f"<h2>Files</h2>{_table(['path', 'bytes'], files)}"
    )
    return _page(repo.full_name, body)


def _threads(call: Call, repo: Repo) -> str:
    rows = [
        [
            _link(call, f"{repo.web_path}/discussions/{thread.num}", f"#{thread.num} {thread.title}"),
            "pull request" if thread.is_pull_request else "discussion",
            escape(thread.status),
            escape(thread.author),
        ]
        for thread in ThreadFilter().page(call.reader, repo, 0, _THREADS_SHOWN)
    ]
    return _table(["title", "kind", "status", "author"], rows)


def get_thread_page(call: Call) -> Response:
    """GET discussions/{num}: a discussion's events, oldest first."""
    repo = find_repo(call)
    thread = get_thread(call.reader, repo, check_number(call.params["num"]))
    parts = [
        f"<p>{_link(call, repo.web_path, repo.full_name)}: {escape(thread.status)}, by {escape(thread.author)}</p>"
    ]
    for event in events_of(call.reader, repo, thread.num):
        parts.append(f"<p>{escape(event['author']['name'])}, {event['createdAt']}</p><pre>{escape(_text(event))}</pre>")
    return _page(f"#{thread.num} {thread.title}", "".join(parts))


def _text(event: dict[str, Any]) -> str:
    data = event["data"]
    match event["type"]:
        case "comment":
            return str(data["latest"]["raw"])
        case "status-change":
            return f"changed the status to {data['status']}"
        case "commit":
            return f"pushed {data['oid']}: {data['subject']}"
        case _:
            return f"changed the title to {data['to']}"
