"""The repository of a request, with the user's right to it checked."""

from __future__ import annotations

from paris.coordinator.hub.context import Call
from paris.coordinator.hub.errors import forbidden, repo_not_found
from paris.coordinator.hub.repositories.repos import Repo, get_repo, may_read


def anyone(call: Call) -> None:
    """Admit every caller."""


def find_repo(call: Call) -> Repo:
    """The repository in the address, for reading.

    Raises:
        Refusal: 404 RepoNotFound, also for a private repository that the user may not see.
    """
    kind, owner, name = call.params.get("kind", "models"), call.params["owner"], call.params["name"]
    repo = get_repo(call.reader, kind, owner, name)
    if repo is None or not may_read(call.user, repo):
        raise repo_not_found(f"{owner}/{name}")
    call.repo_label = repo.label
    return repo


def find_own_repo(call: Call) -> Repo:
    """The repository in the address, for writing to its branches, tags and settings.

    Raises:
        Refusal: 404 RepoNotFound; 401 without a token; 403 for a user who does not own it.
    """
    repo = find_repo(call)
    call.require_login()
    if not call.user.owns(repo.owner):
        raise forbidden(f"{call.user.name} may not write to {repo.full_name}; open a pull request instead")
    return repo
