"""Handlers of discussions and pull requests."""

from __future__ import annotations

import sqlite3
from typing import Any, Literal

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from paris.coordinator.hub.access import find_own_repo, find_repo
from paris.coordinator.hub.context import Call
from paris.coordinator.hub.discussions.pulls import NewPullRequest, comparison, delete_ref, merge, open_pull_request
from paris.coordinator.hub.discussions.threads import (
    ENDED,
    LIVE,
    Thread,
    ThreadFilter,
    add_event,
    comment_data,
    events_of,
    get_thread,
    open_discussion,
    require_edit_right,
    require_room_in,
    set_status,
)
from paris.coordinator.hub.errors import Refusal, bad_request
from paris.coordinator.hub.names import check_number
from paris.coordinator.hub.repositories.quotas import require_quota
from paris.coordinator.hub.repositories.repos import MAIN, Repo, get_ref
from paris.coordinator.hub.timestamps import timestamp

_PAGE = 50
_MAX_TEXT = 64 * 1024


class _NewDiscussion(BaseModel):
    title: str = Field(min_length=3, max_length=200)
    description: str = Field(default="", max_length=_MAX_TEXT)
    pullRequest: bool = False


class _Comment(BaseModel):
    comment: str = Field(min_length=1, max_length=_MAX_TEXT)


class _Status(BaseModel):
    status: Literal["open", "closed"]
    comment: str | None = Field(default=None, max_length=_MAX_TEXT)


class _Title(BaseModel):
    title: str = Field(min_length=3, max_length=200)


class _Merge(BaseModel):
    comment: str | None = Field(default=None, max_length=_MAX_TEXT)


def get_discussions(call: Call) -> Response:
    """GET discussions: one page, newest first."""
    repo = find_repo(call)
    kind, status, author = call.first("type"), call.first("status"), call.first("author")
    wanted = {"": (*LIVE, *ENDED), "all": (*LIVE, *ENDED), "open": LIVE, "closed": ENDED}.get(status)
    if kind not in ("", "all", "discussion", "pull_request") or wanted is None:
        raise bad_request(f"Invalid type {kind!r} or status {status!r} of discussions.")
    is_pull_request = None if kind in ("", "all") else kind == "pull_request"
    found = ThreadFilter(is_pull_request, wanted, author)
    start = call.number("p", 0, 10**6) * _PAGE
    page = [_summary(repo, thread) for thread in found.page(call.reader, repo, start, _PAGE)]
    return JSONResponse({"discussions": page, "count": found.count(call.reader, repo), "start": start})


def _summary(repo: Repo, thread: Thread) -> dict[str, Any]:
    return {
        "num": thread.num,
        "title": thread.title,
        "author": {"name": thread.author},
        "createdAt": timestamp(thread.created_at),
        "status": thread.status,
        "isPullRequest": thread.is_pull_request,
        "repo": {"name": repo.full_name, "type": repo.type},
    }


def get_discussion(call: Call) -> Response:
    """GET discussions/{num}: one discussion with its events; with `diff`, a pull request's diff."""
    repo, thread = _find(call)
    details = {**_summary(repo, thread), "events": events_of(call.reader, repo, thread.num)}
    if thread.is_pull_request:
        details["changes"] = {"base": thread.base_ref, "mergeCommitId": thread.merge_oid}
        compared = comparison(call.reader, call.hub.blobs, repo, thread)
        details["filesWithConflicts"] = compared["filesWithConflicts"]
        details["diff"] = compared["diff"] if call.flag("diff") else None
    return JSONResponse(details)


def _find(call: Call) -> tuple[Repo, Thread]:
    repo = find_repo(call)
    return repo, get_thread(call.reader, repo, check_number(call.params["num"]))


def post_discussion(call: Call) -> Response:
    """POST discussions: a discussion, or a draft pull request, to which commits are pushed afterwards."""
    repo = find_repo(call)
    user = call.require_account()
    wanted = call.parse(_NewDiscussion)
    max_open = call.hub.limits.max_open_threads
    with call.hub.store.write() as db:
        _require_quota_for(call, db, repo, wanted.title + wanted.description)
        if wanted.pullRequest:
            base = get_ref(db, repo, MAIN) or ""
            new = NewPullRequest(wanted.title, wanted.description, base_ref=MAIN, base_oid=base, is_draft=True)
            num = open_pull_request(db, repo, user, new, max_open=max_open, at=call.now)
        else:
            num = open_discussion(
                db, repo, user, title=wanted.title, text=wanted.description, max_open=max_open, at=call.now
            )
    return JSONResponse({"num": num, "pullRequest": wanted.pullRequest})


def _require_quota_for(call: Call, db: sqlite3.Connection, repo: Repo, text: str) -> None:
    if not call.user.owns(repo.owner):
        require_quota(db, call.user.name, len(text.encode()), call.hub.limits.max_user_bytes)


def post_comment(call: Call) -> Response:
    """POST discussions/{num}/comment: add a comment."""
    repo, thread = _find(call)
    user = call.require_account()
    comment = call.parse(_Comment).comment
    with call.hub.store.write() as db:
        _require_quota_for(call, db, repo, comment)
        require_room_in(db, repo, thread.num, user, call.hub.limits.max_thread_events)
        data = comment_data(comment, user.name, call.now)
        event = add_event(db, repo, thread.num, "comment", user.name, data, call.now)
    return JSONResponse({"newMessage": event})


def post_status(call: Call) -> Response:
    """POST discussions/{num}/status: open (also a draft) or close."""
    repo, thread = _find(call)
    user = call.require_login()
    require_edit_right(repo, thread, user)
    wanted = call.parse(_Status)
    with call.hub.store.write() as db:
        thread = get_thread(db, repo, thread.num)
        if thread.status == "merged":
            raise bad_request(f"Pull request {thread.num} is merged; its status cannot change.")
        if wanted.status == "open" and thread.is_pull_request and get_ref(db, repo, thread.ref) is None:
            raise bad_request(f"The commits of pull request {thread.num} were deleted; open a new one.")
        if wanted.comment:
            data = comment_data(wanted.comment, user.name, call.now)
            add_event(db, repo, thread.num, "comment", user.name, data, call.now)
        set_status(db, repo, thread, wanted.status, user.name, call.now)
        event = events_of(db, repo, thread.num)[-1]
    return JSONResponse({"newStatus": event})


def post_title(call: Call) -> Response:
    """POST discussions/{num}/title: change the title."""
    repo, thread = _find(call)
    user = call.require_login()
    require_edit_right(repo, thread, user)
    title = call.parse(_Title).title
    with call.hub.store.write() as db:
        db.execute("UPDATE discussions SET title = ? WHERE repo = ? AND num = ?", (title, repo.id, thread.num))
        data = {"from": thread.title, "to": title}
        event = add_event(db, repo, thread.num, "title-change", user.name, data, call.now)
    return JSONResponse({"newTitle": event})


def post_merge(call: Call) -> Response:
    """POST discussions/{num}/merge: merge a pull request, as the repository's owner."""
    repo = find_own_repo(call)
    wanted = call.parse(_Merge)
    num = check_number(call.params["num"])
    with call.hub.store.write() as db:
        thread = get_thread(db, repo, num)
        if not thread.is_pull_request:
            raise bad_request(f"#{num} is a discussion, not a pull request.")
        oid = merge(db, repo, thread, call.user, call.now)
        if wanted.comment:
            data = comment_data(wanted.comment, call.user.name, call.now)
            add_event(db, repo, num, "comment", call.user.name, data, call.now)
    return JSONResponse({"mergeCommitId": oid})


def delete_pull_request_ref(call: Call) -> Response:
    """DELETE discussions/{num}/ref: delete a pull request's commits and free their storage."""
    repo, thread = _find(call)
    user = call.require_login()
    require_edit_right(repo, thread, user)
    if not thread.is_pull_request or get_ref(call.reader, repo, thread.ref) is None:
        raise Refusal(404, f"#{thread.num} has no commits.", "RevisionNotFound")
    with call.hub.store.write() as db:
        freed_bytes = delete_ref(db, call.hub.blobs, repo, get_thread(db, repo, thread.num), user, call.now)
    return JSONResponse({"freedBytes": freed_bytes})
