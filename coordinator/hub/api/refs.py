"""Handlers of branches and tags."""

from __future__ import annotations

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from paris.coordinator.hub.access import find_own_repo, find_repo
from paris.coordinator.hub.context import Call
from paris.coordinator.hub.discussions.pulls import pull_request_number
from paris.coordinator.hub.errors import Refusal, bad_request, revision_not_found
from paris.coordinator.hub.names import check_ref_name
from paris.coordinator.hub.repositories.repos import BRANCH, MAIN, TAG, get_ref, resolve, set_ref
from paris.coordinator.hub.repositories.sweep import collect_repo, delete_unnamed


class _Branch(BaseModel):
    startingPoint: str = Field(default="main", max_length=200)


class _Tag(BaseModel):
    tag: str
    message: str | None = None


def get_refs(call: Call) -> Response:
    """GET refs: branches, tags and, with `include_prs`, pull requests."""
    repo = find_repo(call)
    rows = call.reader.execute("SELECT name, oid FROM refs WHERE repo = ? ORDER BY name", (repo.id,)).fetchall()
    answer: dict[str, list[dict[str, str]]] = {"branches": [], "tags": [], "converts": [], "pullRequests": []}
    for row in rows:
        for group, prefix in (("branches", BRANCH), ("tags", TAG)):
            if row["name"].startswith(prefix):
                name = row["name"].removeprefix(prefix)
                answer[group].append({"name": name, "ref": row["name"], "targetCommit": row["oid"]})
        number = pull_request_number(row["name"])
        if number and call.flag("include_prs"):
            answer["pullRequests"].append({"name": str(number), "ref": row["name"], "targetCommit": row["oid"]})
    return JSONResponse(answer)


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
