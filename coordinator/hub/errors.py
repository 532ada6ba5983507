"""Errors of the Hub: one for its start, one for all refused requests."""

from __future__ import annotations

from paris.protocol.errors import ParisError


class HubStartError(ParisError):
    """The Hub cannot start, or an account is invalid."""

    exit_code = 65
    error_code = "hub-start"


class Refusal(ParisError):
    """A request that is answered with a 4xx or 507 and the headers by which the stock client chooses its exception.

    Never a status that the client retries: the request would fail again.

    Args:
        status: HTTP status.
        what: One sentence, shown in the client's exception.
        code: `X-Error-Code`: RepoNotFound, RevisionNotFound, EntryNotFound, or empty.
        headers: Further response headers.
    """

    def __init__(self, status: int, what: str, code: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(what)
        self.status = status
        self.code = code
        self.headers = headers or {}


def bad_request(what: str) -> Refusal:
    """400: the request is malformed."""
    return Refusal(400, what)


def forbidden(what: str) -> Refusal:
    """403: the user lacks the right."""
    return Refusal(403, what)


def repo_not_found(full_name: str) -> Refusal:
    """404: there is no such repository, or the user may not see it; the two responses must be equal."""
    return Refusal(404, f"Repository {full_name!r} not found.", "RepoNotFound")


def revision_not_found(revision: str) -> Refusal:
    """404: there is no branch, tag, pull request or commit of this name."""
    return Refusal(404, f"Revision {revision!r} not found.", "RevisionNotFound")


def entry_not_found(path: str, commit_oid: str) -> Refusal:
    """404: there is no such file at this commit; the client caches the absence under the commit in the headers."""
    return Refusal(404, f"Entry {path!r} not found.", "EntryNotFound", {"X-Repo-Commit": commit_oid})
