"""Repositories, refs, commits; resolving a revision to a commit."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from paris.coordinator.hub.accounts.auth import User
from paris.coordinator.hub.errors import revision_not_found
from paris.coordinator.hub.names import KINDS
from paris.coordinator.hub.storage.trees import Listing, TreeFiles, git_sha1, read_listing, write_tree

BRANCH = "refs/heads/"
TAG = "refs/tags/"
PULL = "refs/pr/"
MAIN = BRANCH + "main"


@dataclass(frozen=True, slots=True)
class Repo:
    """One repository."""

    id: int
    kind: str
    """`models` or `datasets`."""
    owner: str
    name: str
    private: bool
    created_at: float

    @property
    def full_name(self) -> str:
        """owner/name, the client's id of the repository."""
        return f"{self.owner}/{self.name}"

    @property
    def label(self) -> str:
        """kind/owner/name."""
        return f"{self.kind}/{self.full_name}"

    @property
    def web_path(self) -> str:
        """Path of its page and of its files, without a leading slash."""
        return self.full_name if self.kind == "models" else self.label

    @property
    def type(self) -> str:
        """`model` or `dataset`."""
        return KINDS[self.kind]


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit."""

    oid: str
    parent: str | None
    tree: str
    author: str
    title: str
    message: str
    created_at: float


def repo_of(row: sqlite3.Row) -> Repo:
    """A repository from its row."""
    return Repo(row["id"], row["kind"], row["owner"], row["name"], bool(row["private"]), row["created_at"])


def get_repo(db: sqlite3.Connection, kind: str, owner: str, name: str) -> Repo | None:
    """A repository by name, without a check of rights."""
    row = db.execute("SELECT * FROM repos WHERE kind = ? AND owner = ? AND name = ?", (kind, owner, name)).fetchone()
    return repo_of(row) if row else None


def may_read(user: User, repo: Repo) -> bool:
    """Whether the user may see the repository."""
    return not repo.private or user.owns(repo.owner)


_ORDERS = {
    "created": "repos.created_at DESC, id DESC",
    "-created": "repos.created_at, id",
    "changed": "commits.created_at DESC, id DESC",
    "-changed": "commits.created_at, id",
    "name": "kind, owner, repos.name",
}


def visible_repos(
    db: sqlite3.Connection, user: User, *, kind: str = "", author: str = "", search: str = "", order: str, offset: int
) -> Iterator[tuple[Repo, Commit]]:
    """Repositories that a user may see, with the head of `main`, read from the database one by one.

    Args:
        db: Connection for reading.
        user: The user.
        kind: `models` or `datasets`; empty for both.
        author: The owner; empty for any.
        search: Part of `owner/name` in lower case.
        order: `created`, `changed` (newest first, with `-` oldest first) or `name`.
        offset: Number of repositories to skip.
    """
    owners = (user.name, *user.orgs) if user.role == "user" else ()
    rows = db.execute(
        "SELECT repos.*, refs.oid AS head FROM repos JOIN refs ON refs.repo = repos.id AND refs.name = :main "
        "JOIN commits ON commits.repo = repos.id AND commits.oid = refs.oid "
        "WHERE (:kind = '' OR kind = :kind) AND (:author = '' OR owner = :author) "
        "AND INSTR(LOWER(owner || '/' || repos.name), :search) "
        "AND (NOT private OR :is_admin OR owner IN (SELECT value FROM json_each(:owners))) "
        f"ORDER BY {_ORDERS[order]} LIMIT -1 OFFSET :offset",
        {
            "main": MAIN,
            "kind": kind,
            "author": author,
            "search": search,
            "is_admin": user.role == "admin",
            "owners": json.dumps(owners),
            "offset": offset,
        },
    )
    for row in rows:
        commit = get_commit(db, repo_of(row), row["head"])
        if commit is not None:
            yield repo_of(row), commit


def create_repo(
    db: sqlite3.Connection, kind: str, owner: str, name: str, *, private: bool, author: str, at: float
) -> Repo:
    """Insert a repository with an empty first commit on `main`."""
    row = db.execute(
        "INSERT INTO repos (kind, owner, name, private, created_at) VALUES (?, ?, ?, ?, ?) RETURNING *",
        (kind, owner, name, private, at),
    ).fetchone()
    repo = repo_of(row)
    tree = write_tree(db, repo.id, None, {})
    oid = add_commit(db, repo, parent=None, tree=tree, author=author, title="initial commit", message="", at=at)
    set_ref(db, repo, MAIN, oid)
    return repo


def add_commit(
    db: sqlite3.Connection,
    repo: Repo,
    *,
    parent: str | None,
    tree: str,
    author: str,
    title: str,
    message: str,
    at: float,
) -> str:
    """Insert a commit; return its oid, the sha1 of the commit object of git."""
    parent_line = f"parent {parent}\n" if parent else ""
    who = f"{author} <{author}@hub> {int(at)} +0000"
    text = f"tree {tree}\n{parent_line}author {who}\ncommitter {who}\n\n{title}\n\n{message}"
    oid = git_sha1("commit", text.encode())
    db.execute(
        "INSERT OR IGNORE INTO commits VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (repo.id, oid, parent, tree, author, title, message, at),
    )
    return oid


def get_commit(db: sqlite3.Connection, repo: Repo, oid: str) -> Commit | None:
    """A commit by its full oid."""
    row = db.execute("SELECT * FROM commits WHERE repo = ? AND oid = ?", (repo.id, oid)).fetchone()
    return _commit_of(row) if row else None


def _commit_of(row: sqlite3.Row) -> Commit:
    return Commit(*(row[key] for key in ("oid", "parent", "tree", "author", "title", "message", "created_at")))


def get_ref(db: sqlite3.Connection, repo: Repo, name: str) -> str | None:
    """The commit at which a ref points, by full name."""
    row = db.execute("SELECT oid FROM refs WHERE repo = ? AND name = ?", (repo.id, name)).fetchone()
    return str(row["oid"]) if row else None


def refs_below(db: sqlite3.Connection, repo: Repo, prefix: str) -> list[tuple[str, str]]:
    """Full name and commit of each ref whose name begins with a prefix that ends with a slash, by name."""
    rows = db.execute(
        "SELECT name, oid FROM refs WHERE repo = ? AND name >= ? AND name < ? ORDER BY name",
        (repo.id, prefix, after_prefix(prefix)),
    )
    return [(row["name"], row["oid"]) for row in rows]


def after_prefix(prefix: str) -> str:
    """The first name after all that begin with a prefix, which ends with a slash."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def set_ref(db: sqlite3.Connection, repo: Repo, name: str, oid: str) -> None:
    """Point a ref, by full name, at a commit."""
    db.execute("INSERT INTO refs VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET oid = excluded.oid", (repo.id, name, oid))


def full_ref(db: sqlite3.Connection, repo: Repo, revision: str) -> tuple[str, str] | None:
    """Full name and commit of a revision's ref: a branch before a tag, or a full name. None for a commit's oid."""
    candidates = [revision] if revision.startswith("refs/") else [BRANCH + revision, TAG + revision]
    for name in candidates:
        oid = get_ref(db, repo, name)
        if oid is not None:
            return name, oid
    return None


def resolve(db: sqlite3.Connection, repo: Repo, revision: str) -> Commit:
    """The commit of a branch, tag, full ref name, oid or unique prefix of an oid (7 digits or more).

    Raises:
        Refusal: 404 RevisionNotFound.
    """
    ref = full_ref(db, repo, revision)
    if ref is not None:
        revision = ref[1]
    if re.fullmatch(r"[0-9a-f]{7,40}", revision):
        rows = db.execute(
            "SELECT * FROM commits WHERE repo = ? AND oid >= ? AND oid <= ? LIMIT 2",
            (repo.id, revision, revision + "g"),
        ).fetchall()
        if len(rows) == 1:
            return _commit_of(rows[0])
    raise revision_not_found(revision)


def files_at(db: sqlite3.Connection, repo: Repo, commit: Commit) -> TreeFiles:
    """The files of a commit, for finding some of them."""
    return TreeFiles(db, repo.id, commit.tree)


def listing_at(db: sqlite3.Connection, repo: Repo, commit: Commit) -> Listing:
    """All files and folders of a commit."""
    return read_listing(db, repo.id, commit.tree)


def history(db: sqlite3.Connection, repo: Repo, oid: str | None, limit: int) -> list[Commit]:
    """A commit and its ancestors, newest first, at most `limit`."""
    commits: list[Commit] = []
    while oid is not None and len(commits) < limit:
        commit = get_commit(db, repo, oid)
        if commit is None:
            break
        commits.append(commit)
        oid = commit.parent
    return commits


def note_blobs(db: sqlite3.Connection, repo: Repo, sha256s: set[str]) -> None:
    """Record that a repository refers to these contents."""
    db.executemany("INSERT OR IGNORE INTO repo_blobs VALUES (?, ?)", [(repo.id, sha256) for sha256 in sorted(sha256s)])
