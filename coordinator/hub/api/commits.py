"""Preupload and commit: the only handlers that change a repository's files."""

from __future__ import annotations

import base64
import binascii
import codecs
import sqlite3
from typing import BinaryIO

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from paris.coordinator.hub.access import find_repo
from paris.coordinator.hub.api.operations import Header, InlineFile, LfsFile, Operation, changes_of, parse_commit
from paris.coordinator.hub.context import Call
from paris.coordinator.hub.discussions.pulls import (
    NewPullRequest,
    open_pull_request,
    pull_request_number,
    require_push_to_pull_request,
)
from paris.coordinator.hub.discussions.threads import add_event, require_room_in
from paris.coordinator.hub.errors import Refusal, bad_request, forbidden, revision_not_found
from paris.coordinator.hub.names import check_path
from paris.coordinator.hub.repositories.quotas import note_pull_contents, require_quota
from paris.coordinator.hub.repositories.repos import (
    BRANCH,
    PULL,
    Repo,
    add_commit,
    files_at,
    full_ref,
    get_ref,
    note_blobs,
    resolve,
    set_ref,
)
from paris.coordinator.hub.repositories.uploads import may_commit, note_uploads
from paris.coordinator.hub.storage.trees import FileEntry, lfs_entry, write_tree

_ALWAYS_LFS = (
    ".safetensors",
    ".parquet",
    ".bin",
    ".npz",
    ".npy",
    ".arrow",
    ".zip",
    ".gz",
    ".tar",
    ".png",
    ".jpg",
    ".webp",
)


class _Candidate(BaseModel):
    path: str
    size: int = Field(ge=0)
    sample: str = Field(default="", max_length=4096)


class _Preupload(BaseModel):
    files: list[_Candidate] = Field(max_length=1000)


def post_preupload(call: Call) -> Response:
    """POST preupload/{rev}: whether each file is to be uploaded by LFS, and its present content."""
    repo = find_repo(call)
    call.require_login()
    request = call.parse(_Preupload)
    present = files_at(call.reader, repo, resolve(call.reader, repo, call.params["rev"]))
    answers = []
    for file in request.files:
        entry = present.find(check_path(file.path))
        mode = "lfs" if _goes_by_lfs(file, call.hub.limits.lfs_from_bytes) else "regular"
        answer = {"path": file.path, "uploadMode": mode, "shouldIgnore": False, "oid": entry.etag if entry else None}
        answers.append(answer)
    return JSONResponse({"files": answers})


def _goes_by_lfs(file: _Candidate, from_bytes: int) -> bool:
    """Large files, binary ones, and those with a suffix of binary files; empty files never."""
    if file.size == 0:
        return False
    if file.size >= from_bytes or file.path.lower().endswith(_ALWAYS_LFS):
        return True
    try:
        sample = base64.b64decode(file.sample, validate=True)
        # Incremental: the sample may end inside a character.
        text = codecs.getincrementaldecoder("utf-8")().decode(sample)
    except (binascii.Error, UnicodeDecodeError):
        return True
    return "\0" in text


def require_commit_right(call: Call) -> None:
    """Check that the user may commit, before anything is read or stored; checked again inside the transaction."""
    repo = find_repo(call)
    call.require_login()
    if not call.flag("create_pr"):
        _require_push(call, call.reader, repo, _target(call.reader, repo, call.params["rev"]))


def _body(call: Call) -> BinaryIO:
    if call.body_file is None:
        raise bad_request("The commit has no body.")
    call.body_file.seek(0)
    return call.body_file


def post_commit(call: Call) -> Response:
    """POST commit/{rev}: one new commit on a branch, on a pull request, or, with `create_pr`, on a new pull request."""
    repo = find_repo(call)
    creates_pull_request = call.flag("create_pr")
    header, operations = parse_commit(_body(call), call.hub.limits)
    user = call.require_account()
    if not user.owns(repo.owner):
        inline_bytes = sum(file.entry.size for file in operations if isinstance(file, InlineFile))
        require_quota(call.reader, user.name, inline_bytes, call.hub.limits.max_user_bytes)
    call.part_label = "(commits)"
    added = _receive(call, operations)
    with call.hub.store.write() as db:
        ref = _target(db, repo, call.params["rev"])
        if creates_pull_request:
            ref = _open_for_commit(call, db, repo, ref, header)
        else:
            _require_push(call, db, repo, ref)
            _require_parent(header, get_ref(db, repo, ref) or "")
        oid = _commit_onto(call, db, repo, ref, header, operations, added)
    return JSONResponse(_answer(call, repo, ref if creates_pull_request else "", oid))


def _answer(call: Call, repo: Repo, pull_ref: str, oid: str) -> dict[str, object]:
    page = f"{call.base_url}/{repo.web_path}"
    number = pull_request_number(pull_ref)
    return {
        "success": True,
        "commitOid": oid,
        "commitUrl": f"{page}/commit/{oid}",
        "pullRequestUrl": f"{page}/discussions/{number}" if number else None,
        "hookOutput": "",
    }


def _receive(call: Call, operations: list[Operation]) -> dict[int, FileEntry]:
    """Entry of each operation that adds a file, by its index; stores small files, as pending uploads."""
    added: dict[int, FileEntry] = {}
    for index, file in enumerate(operations):
        if isinstance(file, InlineFile):
            added[index] = file.entry
        elif isinstance(file, LfsFile):
            added[index] = _uploaded_entry(call, file)
    # Noted before they are written: a concurrent sweep keeps noted contents.
    sizes = {entry.sha256: entry.size for entry in added.values()}
    note_uploads(call.hub.store, call.user.name, sizes, call.now)
    for file in operations:
        if isinstance(file, InlineFile):
            call.hub.blobs.put(file.read(_body(call)))
    return added


def _uploaded_entry(call: Call, file: LfsFile) -> FileEntry:
    """Entry of an LFS file, with the size of the stored content; commit lines of copies have no size."""
    size = call.hub.blobs.size_bytes(file.oid)
    if size is None or not may_commit(call.reader, call.user, file.oid):
        raise bad_request(f"{file.path!r} names the object {file.oid}, which was never uploaded.")
    if file.size is not None and file.size != size:
        raise bad_request(f"{file.path!r} claims {file.size} bytes; the object {file.oid} has {size}.")
    return lfs_entry(file.oid, size)


def _target(db: sqlite3.Connection, repo: Repo, revision: str) -> str:
    """The full name of the branch or pull request that a commit is added to."""
    ref = full_ref(db, repo, revision)
    if ref is None or not (ref[0].startswith(BRANCH) or pull_request_number(ref[0])):
        raise revision_not_found(revision)
    return ref[0]


def _require_push(call: Call, db: sqlite3.Connection, repo: Repo, ref: str) -> None:
    number = pull_request_number(ref)
    if number:
        require_push_to_pull_request(db, repo, number, call.user)
        require_room_in(db, repo, number, call.user, call.hub.limits.max_thread_events)
    elif not call.user.owns(repo.owner):
        raise forbidden(f"{call.user.name} may not push to {repo.full_name}; open a pull request (create_pr=True)")


def _require_parent(header: Header, head: str) -> None:
    if header.parentCommit and not head.startswith(header.parentCommit):
        raise Refusal(412, f"A commit has happened since: the head is {head}, not {header.parentCommit}.")


def _open_for_commit(call: Call, db: sqlite3.Connection, repo: Repo, ref: str, header: Header) -> str:
    """Open a pull request based on the given parent, or else on the branch's head; return its ref."""
    if not ref.startswith(BRANCH):
        raise bad_request("The base of a pull request must be a branch.")
    base = resolve(db, repo, header.parentCommit).oid if header.parentCommit else get_ref(db, repo, ref) or ""
    new = NewPullRequest(header.summary, header.description, base_ref=ref, base_oid=base)
    number = open_pull_request(db, repo, call.user, new, max_open=call.hub.limits.max_open_threads, at=call.now)
    return f"{PULL}{number}"


def _commit_onto(
    call: Call,
    db: sqlite3.Connection,
    repo: Repo,
    ref: str,
    header: Header,
    operations: list[Operation],
    added: dict[int, FileEntry],
) -> str:
    """Insert the commit and move the ref: inside one transaction."""
    parent = resolve(db, repo, get_ref(db, repo, ref) or "")
    changes = changes_of(files_at(db, repo, parent), operations, added, call.hub.limits)
    oid = add_commit(
        db,
        repo,
        parent=parent.oid,
        tree=write_tree(db, repo.id, parent.tree, changes),
        author=call.user.name,
        title=header.summary,
        message=header.description,
        at=call.now,
    )
    set_ref(db, repo, ref, oid)
    contents = {entry.sha256 for entry in added.values()}
    if any(call.hub.blobs.size_bytes(sha256) is None for sha256 in contents):
        raise bad_request("An object was deleted during this commit; upload it again.")
    number = pull_request_number(ref)
    is_limited = bool(number) and not call.user.owns(repo.owner)
    if is_limited:
        note_pull_contents(db, repo, number, call.user, {entry.sha256: entry.size for entry in added.values()})
    note_blobs(db, repo, contents)
    db.executemany("DELETE FROM uploads WHERE sha256 = ? AND user = ?", [(it, call.user.name) for it in contents])
    if is_limited:
        require_quota(db, call.user.name, 0, call.hub.limits.max_user_bytes)
    if number:
        add_event(db, repo, number, "commit", call.user.name, {"subject": header.summary, "oid": oid}, call.now)
    return oid
