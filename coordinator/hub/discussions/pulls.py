"""Pull requests: opening, pushing, comparing, merging, deleting their commits."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from typing import Any

from paris.coordinator.hub.accounts.auth import User
from paris.coordinator.hub.discussions.diffs import Files, changed_paths, git_diff
from paris.coordinator.hub.discussions.threads import (
    LIVE,
    Thread,
    add_event,
    comment_data,
    get_thread,
    open_thread,
    require_room,
    set_status,
)
from paris.coordinator.hub.errors import Refusal, bad_request, forbidden
from paris.coordinator.hub.repositories.quotas import forget_pull_contents
from paris.coordinator.hub.repositories.repos import (
    PULL,
    Repo,
    add_commit,
    get_commit,
    get_ref,
    listing_at,
    note_blobs,
    set_ref,
)
from paris.coordinator.hub.repositories.sweep import collect_repo, delete_unnamed
from paris.coordinator.hub.storage.blobs import BlobStore
from paris.coordinator.hub.storage.trees import write_tree


@dataclass(frozen=True, slots=True)
class NewPullRequest:
    """A pull request to open."""

    title: str
    description: str
    base_ref: str
    """Full name of the branch that it is to be merged into."""
    base_oid: str
    """The commit that it is based on."""
    is_draft: bool = False


def pull_request_number(ref: str) -> int:
    """The number of a pull request's ref; 0 for any other ref."""
    match = re.fullmatch(PULL + r"([1-9][0-9]{0,8})", ref)
    return int(match[1]) if match else 0


def open_pull_request(
    db: sqlite3.Connection,
    repo: Repo,
    user: User,
    new: NewPullRequest,
    *,
    max_open: int,
    at: float,
) -> int:
    """Insert a pull request whose ref points at its base; return its number.

    Args:
        db: A write transaction.
        repo: The repository.
        user: The author.
        new: The pull request.
        max_open: Largest number of open discussions of a user without write access.
        at: UTC seconds.

    Raises:
        Refusal: 403, the user has too many open discussions.
    """
    require_room(db, repo, user, max_open)
    num = open_thread(
        db,
        repo,
        title=new.title,
        author=user.name,
        status="draft" if new.is_draft else "open",
        base_ref=new.base_ref,
        base_oid=new.base_oid,
        at=at,
    )
    if new.description:
        add_event(db, repo, num, "comment", user.name, comment_data(new.description, user.name, at), at)
    set_ref(db, repo, f"{PULL}{num}", new.base_oid)
    return num


def require_push_to_pull_request(db: sqlite3.Connection, repo: Repo, num: int, user: User) -> None:
    """Check that the user may push: the author or the repository's owner, to an open or draft pull request.

    Raises:
        Refusal: 403.
    """
    thread = get_thread(db, repo, num)
    if user.name != thread.author and not user.owns(repo.owner):
        raise forbidden(f"Only {thread.author} and the owner of {repo.full_name} may push to {thread.ref}")
    if thread.status not in LIVE:
        raise forbidden(f"Pull request {num} is {thread.status}; nothing can be pushed to it")


def _sides(db: sqlite3.Connection, repo: Repo, thread: Thread) -> tuple[Files, Files, Files] | None:
    """Files of the pull request's base, its head and its target branch; None if its ref was deleted."""
    oids = (thread.base_oid, get_ref(db, repo, thread.ref), get_ref(db, repo, thread.base_ref or ""))
    commits = [get_commit(db, repo, oid) for oid in oids if oid]
    if len(commits) != 3:
        return None
    base, head, target = (listing_at(db, repo, commit).files if commit else {} for commit in commits)
    return base, head, target


def comparison(db: sqlite3.Connection, blobs: BlobStore, repo: Repo, thread: Thread) -> dict[str, Any]:
    """Conflicts and diff of a pull request, as JSON fields."""
    sides = _sides(db, repo, thread)
    if sides is None:
        return {"filesWithConflicts": [], "diff": ""}
    base, head, target = sides
    conflicts = _conflicts(base, head, target) if thread.status in LIVE else []
    return {"filesWithConflicts": conflicts, "diff": git_diff(blobs, base, head)}


def _conflicts(base: Files, head: Files, target: Files) -> list[str]:
    both = changed_paths(base, head) & changed_paths(base, target)
    return sorted(path for path in both if head.get(path) != target.get(path))


def merge(db: sqlite3.Connection, repo: Repo, thread: Thread, user: User, at: float) -> str:
    """Add a pull request's changes to its target branch as one commit; return the commit.

    Merges the current head. A caller that has verified a certain commit copies files from that commit instead.

    Raises:
        Refusal: 400, not open; 409, both sides changed a file.
    """
    sides = _sides(db, repo, thread)
    if thread.status != "open" or sides is None or thread.base_ref is None:
        raise bad_request(f"Pull request {thread.num} is {thread.status} and cannot be merged.")
    base, head, target = sides
    conflicts = _conflicts(base, head, target)
    if conflicts:
        raise Refusal(409, f"Both sides changed {', '.join(conflicts[:5])}.")
    changed = changed_paths(base, head)
    parent = get_ref(db, repo, thread.base_ref)
    onto = get_commit(db, repo, parent or "")
    changes = {path: head.get(path) for path in changed}
    oid = add_commit(
        db,
        repo,
        parent=parent,
        tree=write_tree(db, repo.id, onto.tree if onto else None, changes),
        author=user.name,
        title=f"{thread.title} (#{thread.num})",
        message="",
        at=at,
    )
    set_ref(db, repo, thread.base_ref, oid)
    note_blobs(db, repo, {entry.sha256 for entry in changes.values() if entry})
    forget_pull_contents(db, repo, thread.num)
    db.execute("UPDATE discussions SET merge_oid = ? WHERE repo = ? AND num = ?", (oid, repo.id, thread.num))
    set_status(db, repo, thread, "merged", user.name, at)
    return oid


def delete_ref(db: sqlite3.Connection, blobs: BlobStore, repo: Repo, thread: Thread, user: User, at: float) -> int:
    """Delete a pull request's commits and the contents that only they refer to; close it if it is open.

    Returns:
        Bytes freed.
    """
    if thread.status in LIVE:
        set_status(db, repo, thread, "closed", user.name, at)
    forget_pull_contents(db, repo, thread.num)
    db.execute("DELETE FROM refs WHERE repo = ? AND name = ?", (repo.id, thread.ref))
    return delete_unnamed(db, blobs, collect_repo(db, repo))
