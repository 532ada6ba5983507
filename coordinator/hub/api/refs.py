"""Handlers of branches and tags."""

from __future__ import annotations

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from paris.coordinator.hub.access import find_own_repo, find_repo
from paris.coordinator.hub.context import Call
from paris.coordinator.hub.errors import Refusal, bad_request, revision_not_found
from paris.coordinator.hub.names import check_ref_name
from paris.coordinator.hub.repositories.repos import (
    BRANCH,
    MAIN,
    PULL,
    TAG,
    Repo,
    after_prefix,
    get_ref,
    refs_below,
    resolve,
    set_ref,
)
from paris.coordinator.hub.repositories.sweep import collect_repo, delete_unnamed


class _Branch(BaseModel):
    startingPoint: str = Field(default="main", max_length=200)


class _Tag(BaseModel):
    tag: str
    message: str | None = None


def get_refs(call: Call) -> Response:
    """GET refs: branches and tags and, with `include_prs`, a page of pull requests, the newest first.

    The stock client takes the first page alone.
    """
    repo = find_repo(call)
    start, size = call.window(call.hub.limits.page_entries)
    pulls = _pulls(call, repo, start, size + 1) if call.flag("include_prs") else []
    answer = {
        "branches": _named(call, repo, BRANCH),
        "tags": _named(call, repo, TAG),
        "converts": [],
        "pullRequests": pulls[:size],
    }
    return call.page(answer, start + size if len(pulls) > size else None)


def _named(call: Call, repo: Repo, prefix: str) -> list[dict[str, str]]:
    """The branches or tags of a repository: at most as many as may be made."""
    return [_ref_json(name.removeprefix(prefix), name, oid) for name, oid in refs_below(call.reader, repo, prefix)]


def _pulls(call: Call, repo: Repo, start: int, size: int) -> list[dict[str, str]]:
    rows = call.reader.execute(
        "SELECT num, oid FROM (SELECT CAST(SUBSTR(name, ?) AS INTEGER) AS num, oid FROM refs "
        "WHERE repo = ? AND name >= ? AND name < ?) ORDER BY num DESC LIMIT ? OFFSET ?",
        (len(PULL) + 1, repo.id, PULL, after_prefix(PULL), size, start),
    )
    return [_ref_json(str(row["num"]), f"{PULL}{row['num']}", row["oid"]) for row in rows]


def _ref_json(name: str, ref: str, oid: str) -> dict[str, str]:
    return {"name": name, "ref": ref, "targetCommit": oid}


def post_branch(call: Call) -> Response:
    """POST branch/{branch}: a new branch at a revision."""
    start = call.parse(_Branch).startingPoint
    return _add_ref(call, BRANCH + check_ref_name(call.params["branch"]), start)


def post_tag(call: Call) -> Response:
    """POST tag/{rev}: a new tag at a revision."""
    return _add_ref(call, TAG + check_ref_name(call.parse(_Tag).tag), call.params["rev"])


def _add_ref(call: Call, name: str, revision: str) -> Response:
    repo = find_own_repo(call)
    with call.hub.store.write() as db:
        if get_ref(db, repo, name) is not None:
            raise Refusal(409, f"Reference already exists: {name}")
        (num_refs,) = db.execute(
            "SELECT COUNT(*) FROM refs WHERE repo = ? AND NOT (name >= ? AND name < ?)",
            (repo.id, PULL, after_prefix(PULL)),
        ).fetchone()
        if num_refs >= call.hub.limits.max_repo_refs:
            raise Refusal(413, f"A repository may have at most {call.hub.limits.max_repo_refs} branches and tags.")
        oid = resolve(db, repo, revision).oid
        set_ref(db, repo, name, oid)
    return JSONResponse({"ref": name, "targetCommit": oid})


def delete_branch(call: Call) -> Response:
    """DELETE branch/{branch}: a branch other than main, with the commits that no other ref reaches."""
    return _delete_ref(call, BRANCH + call.params["branch"])


def delete_tag(call: Call) -> Response:
    """DELETE tag/{tag}."""
    return _delete_ref(call, TAG + call.params["tag"])


def _delete_ref(call: Call, name: str) -> Response:
    repo = find_own_repo(call)
    if name == MAIN:
        raise bad_request("The main branch cannot be deleted.")
    with call.hub.store.write() as db:
        if get_ref(db, repo, name) is None:
            raise revision_not_found(name)
        db.execute("DELETE FROM refs WHERE repo = ? AND name = ?", (repo.id, name))
        delete_unnamed(db, call.hub.blobs, collect_repo(db, repo))
    return JSONResponse({})
