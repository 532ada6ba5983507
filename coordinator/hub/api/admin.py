"""The addresses by which repositories, branches and tags come and go, and by which users learn who they are."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from paris.coordinator.hub.context import Call
from paris.coordinator.hub.errors import Refusal, bad_request, forbidden, repo_not_found, revision_not_found
from paris.coordinator.hub.names import KINDS, check_ref_name, is_name, is_owner
from paris.coordinator.hub.repositories.repos import (
    BRANCH,
    MAIN,
    TAG,
    create_repo,
    find_own_repo,
    get_ref,
    get_repo,
    may_read,
    resolve,
    set_ref,
)
from paris.coordinator.hub.repositories.sweep import collect_repo, delete_unnamed, repo_contents

_KIND_OF_TYPE = {kind: path for path, kind in KINDS.items()}


class _Name(BaseModel):
    name: str
    organization: str | None = None
    type: str = "model"


class _Creation(_Name):
    visibility: str | None = None
    private: bool = False


class _Settings(BaseModel):
    visibility: Literal["public", "private"] | None = None
    private: bool | None = None


class _Branch(BaseModel):
    startingPoint: str = Field(default="main", max_length=200)


class _Tag(BaseModel):
    tag: str
    message: str | None = None


def get_whoami(call: Call) -> Response:
    """GET whoami-v2."""
    user = call.require_login()
    role = "write" if user.role in ("admin", "user") else "read"
    return JSONResponse(
        {
            "type": "user",
            "id": user.name,
            "name": user.name,
            "fullname": user.name,
            "orgs": [{"type": "org", "name": org, "fullname": org} for org in user.orgs],
            "auth": {"type": "access_token", "accessToken": {"displayName": user.role, "role": role}},
        }
    )


def _named(call: Call, wanted: _Name) -> tuple[str, str]:
    """Kind and owner of the repository that a body names."""
    kind = _KIND_OF_TYPE.get(wanted.type)
    if kind is None:
        raise bad_request(f"This Hub keeps models and datasets, no {wanted.type[:20]!r}.")
    return kind, wanted.organization or call.require_login().name


def post_create_repo(call: Call) -> Response:
    """POST repos/create; 409 with the address when it exists."""
    user = call.require_login()
    wanted = call.parse(_Creation)
    kind, owner = _named(call, wanted)
    if not user.owns(owner):
        raise forbidden(f"{user.name} may not create repositories for {owner}")
    if not is_owner(owner) or not is_name(wanted.name):
        raise bad_request(f"{owner}/{wanted.name} cannot be the name of a repository.")
    private = wanted.private or wanted.visibility == "private"
    with call.hub.store.write() as db:
        repo = get_repo(db, kind, owner, wanted.name)
        status = 409 if repo else 200
        if repo is None:
            repo = create_repo(db, kind, owner, wanted.name, private=private, author=user.name, at=call.now)
    answer = {"url": f"{call.base_url}/{repo.web_path}", "name": repo.full_name, "id": f"{repo.id:024x}"}
    if status == 409:
        answer["error"] = "You already created this repo"
    return JSONResponse(answer, status)


def delete_repo(call: Call) -> Response:
    """DELETE repos/delete: the repository and what only it held."""
    user = call.require_login()
    wanted = call.parse(_Name)
    kind, owner = _named(call, wanted)
    with call.hub.store.write() as db:
        repo = get_repo(db, kind, owner, wanted.name)
        if repo is None or not may_read(user, repo):
            raise repo_not_found(f"{owner}/{wanted.name}")
        if not user.owns(owner):
            raise forbidden(f"{user.name} may not delete {repo.full_name}")
        contents = repo_contents(db, repo)
        db.execute("DELETE FROM repos WHERE id = ?", (repo.id,))
        delete_unnamed(db, call.hub.blobs, contents)
    return JSONResponse({})


def put_settings(call: Call) -> Response:
    """PUT settings: public or private."""
    repo = find_own_repo(call)
    wanted = call.parse(_Settings)
    private = wanted.private if wanted.visibility is None else wanted.visibility == "private"
    if private is None:
        raise bad_request("This Hub knows one setting, the visibility.")
    with call.hub.store.write() as db:
        db.execute("UPDATE repos SET private = ? WHERE id = ?", (private, repo.id))
    return JSONResponse({"private": private})


def post_branch(call: Call) -> Response:
    """POST branch/{branch}: a new branch at a revision."""
    start = call.parse(_Branch).startingPoint
    return _add_ref(call, BRANCH + check_ref_name(call.params["branch"]), start)


def post_tag(call: Call) -> Response:
    """POST tag/{rev}: a name for a revision."""
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
    """DELETE branch/{branch}: any but main; commits that only it held go with it."""
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


def get_short_name(call: Call) -> Response:
    """GET of a repository without an owner: this Hub has none."""
    raise repo_not_found(call.params["name"])


def get_traffic(call: Call) -> Response:
    """GET paris/traffic, for the administrator: bytes by user, repository and part.

    Sample: {"uploaded_bytes": 812, "downloaded_bytes": 4096, "entries": [{"user": "user-1f2e3d4c",
    "repo": "datasets/lab/run-data", "part": "shards", "uploaded_bytes": 0, "downloaded_bytes": 4096}, ...]}
    """
    if call.require_login().role != "admin":
        raise forbidden("Only the administrator may see the traffic")
    return JSONResponse(call.hub.traffic.report(call.now))
