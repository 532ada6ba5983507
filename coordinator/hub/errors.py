"""Errors of the Hub: one for starting it, one for every answer that says no."""

from __future__ import annotations

from paris.protocol.errors import ParisError


class HubStartError(ParisError):
    """The Hub cannot start on this data folder."""

    exit_code = 65


class Refusal(ParisError):
    """A request that is answered with a 4xx (or 507) and the headers that the stock client turns into exceptions.

    Never a 5xx that the client would retry: a request that is wrong now is wrong five times.

    Args:
        status: HTTP status.
        what: One sentence for the person who reads the client's exception.
        code: `X-Error-Code`, one of RepoNotFound, RevisionNotFound, EntryNotFound, or empty.
        headers: Further response headers.
    """

    def __init__(self, status: int, what: str, code: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(what)
        self.status = status
        self.code = code
        self.headers = headers or {}


def bad_request(what: str) -> Refusal:
    """The request is malformed: 400."""
    return Refusal(400, what)


def forbidden(what: str) -> Refusal:
    """The user is known and may not: 403."""
    return Refusal(403, what)


def repo_not_found(full_name: str) -> Refusal:
    """No such repository, or none that this user may see: the two must look alike."""
    return Refusal(404, f"Repository {full_name!r} not found.", "RepoNotFound")


def revision_not_found(revision: str) -> Refusal:
    """No branch, tag, pull request or commit of that name."""
    return Refusal(404, f"Revision {revision!r} not found.", "RevisionNotFound")


def entry_not_found(path: str, commit_oid: str) -> Refusal:
    """No such file at this commit; the commit goes along so that the client can cache the absence."""
    return Refusal(404, f"Entry {path!r} not found.", "EntryNotFound", {"X-Repo-Commit": commit_oid})
