"""Handlers that create, change and delete repositories."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from paris.coordinator.hub.access import find_own_repo
from paris.coordinator.hub.context import Call
from paris.coordinator.hub.errors import bad_request, forbidden, repo_not_found
from paris.coordinator.hub.names import KINDS, is_name, is_owner
from paris.coordinator.hub.repositories.repos import create_repo, get_repo, may_read
from paris.coordinator.hub.repositories.sweep import delete_unnamed, repo_contents

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


def _named(call: Call, wanted: _Name) -> tuple[str, str]:
    """Kind and owner of the repository in a body."""
    kind = _KIND_OF_TYPE.get(wanted.type)
    if kind is None:
        raise bad_request(f"Invalid repository type {wanted.type[:20]!r}; this Hub has models and datasets.")
    return kind, wanted.organization or call.require_login().name


def post_create_repo(call: Call) -> Response:
    """POST repos/create; 409 with the URL if it exists."""
    user = call.require_login()
    wanted = call.parse(_Creation)
    kind, owner = _named(call, wanted)
    if not user.owns(owner):
        raise forbidden(f"{user.name} may not create repositories for {owner}")
    if not is_owner(owner) or not is_name(wanted.name):
        raise bad_request(f"Invalid repository name {owner}/{wanted.name}.")
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
    """DELETE repos/delete: the repository, and contents that no other one refers to."""
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
        raise bad_request("The visibility is the only setting of this Hub.")
    with call.hub.store.write() as db:
        db.execute("UPDATE repos SET private = ? WHERE id = ?", (private, repo.id))
    return JSONResponse({"private": private})


def get_short_name(call: Call) -> Response:
    """GET of a repository without an owner: always 404."""
    raise repo_not_found(call.params["name"])
