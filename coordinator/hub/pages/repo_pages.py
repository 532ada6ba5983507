"""Pages of repositories: all of them, one with its card, its branches and tags."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from starlette.responses import Response

from paris.coordinator.hub.access import find_repo
from paris.coordinator.hub.context import Call
from paris.coordinator.hub.discussions.threads import LIVE, ThreadFilter
from paris.coordinator.hub.pages.cards import markdown, metadata_rows
from paris.coordinator.hub.pages.links import Links, links_to
from paris.coordinator.hub.pages.rendering import page, render
from paris.coordinator.hub.repositories.cards import derive_tags, read_card
from paris.coordinator.hub.repositories.repos import (
    BRANCH,
    TAG,
    Commit,
    Repo,
    get_commit,
    listing_at,
    refs_below,
    resolve,
    visible_repos,
)

_REPOS_SHOWN = 50


@dataclass(frozen=True)
class RepoRow:
    """One line of the list of repositories."""

    repo: Repo
    links: Links
    head: Commit
    tags: list[str]
    num_live: int
    """Open discussions and pull requests."""


@dataclass(frozen=True)
class RefRow:
    """One branch or tag."""

    name: str
    head: Commit


@page
def get_index(call: Call) -> Response:
    """GET /: one page of the repositories that the user may see, by name."""
    start, size = call.window(_REPOS_SHOWN)
    found = visible_repos(call.reader, call.user, order="name", offset=start)
    rows = []
    for repo, head in islice(found, size):
        listing = listing_at(call.reader, repo, head)
        tags = derive_tags(read_card(call.hub.blobs, listing)[0], listing)
        num_live = ThreadFilter(statuses=LIVE).count(call.reader, repo)
        rows.append(RepoRow(repo, links_to(call, repo), head, tags, num_live))
    following = start + size if next(found, None) else None
    return render(call, "index.html", title="Repositories", rows=rows, start=start, following=following)


@page
def get_repo_page(call: Call) -> Response:
    """GET {owner}/{name}: a repository's card, and what it has."""
    repo = find_repo(call)
    head = resolve(call.reader, repo, "main")
    listing = listing_at(call.reader, repo, head)
    card, text = read_card(call.hub.blobs, listing)
    links = links_to(call, repo)
    return render(
        call,
        "repo.html",
        title=repo.full_name,
        tab="card",
        repo=repo,
        links=links,
        head=head,
        tags=derive_tags(card, listing),
        metadata=metadata_rows(card),
        card=markdown(text, links) if text else None,
        has_card="README.md" in listing.files,
        num_files=len(listing.files),
        total_bytes=sum(entry.size for entry in listing.files.values()),
        endpoint=call.base_url,
    )


@page
def get_refs_page(call: Call) -> Response:
    """GET {owner}/{name}/refs: branches and tags, the newest first."""
    repo = find_repo(call)
    return render(
        call,
        "refs.html",
        title=f"Branches and tags of {repo.full_name}",
        tab="refs",
        repo=repo,
        links=links_to(call, repo),
        branches=_newest_first(call, repo, BRANCH),
        tags=_newest_first(call, repo, TAG),
    )


def _newest_first(call: Call, repo: Repo, prefix: str) -> list[RefRow]:
    found = ((name, get_commit(call.reader, repo, oid)) for name, oid in refs_below(call.reader, repo, prefix))
    rows = [RefRow(name.removeprefix(prefix), head) for name, head in found if head is not None]
    return sorted(rows, key=lambda row: -row.head.created_at)
