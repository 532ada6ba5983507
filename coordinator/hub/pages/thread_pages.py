"""Pages of discussions and pull requests, and what became of them."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from starlette.responses import Response

from paris.coordinator.hub.access import find_repo
from paris.coordinator.hub.context import Call
from paris.coordinator.hub.discussions.threads import ENDED, LIVE, Thread, ThreadFilter, events_of, get_thread
from paris.coordinator.hub.errors import bad_request
from paris.coordinator.hub.names import check_number
from paris.coordinator.hub.pages.cards import MAX_MARKDOWN_CHARS, markdown, markdown_line
from paris.coordinator.hub.pages.commit_pages import changes_between
from paris.coordinator.hub.pages.links import Links, links_to
from paris.coordinator.hub.pages.rendering import page, render
from paris.coordinator.hub.repositories.repos import Repo, get_commit, get_ref, listing_at
from paris.protocol.hub_layout import VERDICT_MARK

_THREADS_SHOWN = 50
_EVENTS_SHOWN = 200
_STATUSES = {"": (*LIVE, *ENDED), "open": LIVE, "closed": ENDED}


@dataclass(frozen=True)
class ThreadRow:
    """One line of the list of discussions and pull requests."""

    thread: Thread
    outcome: Markup | None


@dataclass(frozen=True)
class ShownEvent:
    """One event of a thread: a comment, or a sentence of what happened."""

    author: str
    created_at: str
    comment: Markup | None
    verdict: str
    """The signed record in a comment, for programs; empty without one."""
    sentence: str = ""
    commit: str = ""


@page
def get_threads_page(call: Call) -> Response:
    """GET discussions: one page of discussions and pull requests, newest first."""
    repo = find_repo(call)
    status = call.first("status")
    if status not in _STATUSES:
        raise bad_request(f"Invalid status {status[:20]!r} of discussions.")
    wanted = ThreadFilter(statuses=_STATUSES[status])
    links = links_to(call, repo)
    start, size = call.window(_THREADS_SHOWN)
    found = wanted.page(call.reader, repo, start, size)
    total = wanted.count(call.reader, repo)
    return render(
        call,
        "threads.html",
        title=f"Discussions and pull requests of {repo.full_name}",
        tab="discussions",
        repo=repo,
        links=links,
        status=status,
        rows=[ThreadRow(thread, outcome_of(call.reader, repo, thread, links)) for thread in found],
        total=total,
        start=start,
        following=start + size if start + size < total else None,
    )


@page
def get_thread_page(call: Call) -> Response:
    """GET discussions/{num}: a thread's events, oldest first, and what a pull request changes."""
    repo = find_repo(call)
    thread = get_thread(call.reader, repo, check_number(call.params["num"]))
    links = links_to(call, repo, thread.ref if thread.is_pull_request else "main")
    base = get_commit(call.reader, repo, thread.base_oid or "")
    head = get_commit(call.reader, repo, get_ref(call.reader, repo, thread.ref) or "")
    changes = None
    if base and head:
        sides = (listing_at(call.reader, repo, commit).files for commit in (base, head))
        changes = changes_between(call.hub.blobs, *sides)
    events = events_of(call.reader, repo, thread.num)
    shown = _newest(events)
    return render(
        call,
        "thread.html",
        title=thread.title,
        tab="discussions",
        repo=repo,
        links=links,
        thread=thread,
        outcome=outcome_of(call.reader, repo, thread, links),
        events=[_event(event, links) for event in shown],
        num_left_out=len(events) - len(shown),
        head=head,
        changes=changes,
    )


def outcome_of(db: sqlite3.Connection, repo: Repo, thread: Thread, links: Links) -> Markup | None:
    """What became of a thread: the first line of what its closer wrote last, if that was not its author.

    Only the author and the repository's owner can close a thread, so this is the owner's word. None without one.
    """
    if thread.status != "closed":
        return None
    closing = "SELECT author FROM events WHERE repo = ? AND num = ? AND type = 'status-change' ORDER BY id DESC LIMIT 1"
    closer = db.execute(closing, (repo.id, thread.num)).fetchone()
    if closer is None or closer["author"] == thread.author:
        return None
    said = (
        "SELECT json_extract(data, '$.latest.raw') AS text FROM events "
        "WHERE repo = ? AND num = ? AND type = 'comment' AND author = ? ORDER BY id DESC LIMIT 1"
    )
    comment = db.execute(said, (repo.id, thread.num, closer["author"])).fetchone()
    return markdown_line(comment["text"], links) if comment else None


def _newest(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many of the newest events as one page may render."""
    num_chars = 0
    for index, event in enumerate(reversed(events)):
        num_chars += len(event["data"]["latest"]["raw"]) if event["type"] == "comment" else 0
        if index == _EVENTS_SHOWN or num_chars > MAX_MARKDOWN_CHARS:
            return events[len(events) - max(index, 1) :]
    return events


def _event(event: dict[str, Any], links: Links) -> ShownEvent:
    data = event["data"]
    by, at = event["author"]["name"], event["createdAt"]
    match event["type"]:
        case "comment":
            text, sealed = _split_verdict(str(data["latest"]["raw"]))
            return ShownEvent(by, at, markdown(text, links), sealed)
        case "status-change":
            return ShownEvent(by, at, None, "", f"changed the status to {data['status']}")
        case "commit":
            return ShownEvent(by, at, None, "", f"pushed {data['subject']}", data["oid"])
        case _:
            return ShownEvent(by, at, None, "", f"changed the title to {data['to']}")


def _split_verdict(text: str) -> tuple[str, str]:
    """A comment without its signed verdict, and that."""
    lines = text.split("\n")
    sealed = [line for line in lines if line.startswith(VERDICT_MARK)]
    return "\n".join(line for line in lines if not line.startswith(VERDICT_MARK)), "\n".join(sealed)
