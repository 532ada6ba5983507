"""What a user stores: uncommitted uploads, contents of pull requests, comments. Bounded for all but a repo's owner."""

from __future__ import annotations

import sqlite3

from paris.coordinator.hub.accounts.auth import User
from paris.coordinator.hub.errors import Refusal
from paris.coordinator.hub.repositories.repos import Repo


def stored_bytes(db: sqlite3.Connection, user: str) -> int:
    """Bytes that a user stores."""
    (num_bytes,) = db.execute(
        "SELECT (SELECT TOTAL(size) FROM uploads WHERE user = :user) "
        "+ (SELECT TOTAL(size) FROM pull_contents WHERE user = :user) "
        "+ (SELECT TOTAL(LENGTH(data)) FROM events WHERE author = :user)",
        {"user": user},
    ).fetchone()
    return int(num_bytes)


def require_quota(db: sqlite3.Connection, user: str, more_bytes: int, max_bytes: int) -> None:
    """Check that a user may store more.

    Raises:
        Refusal: 413.
    """
    present = stored_bytes(db, user)
    if present + more_bytes > max_bytes:
        what = (
            f"{user} would store {present + more_bytes} bytes, limit {max_bytes}; delete pull requests, or wait a day"
        )
        raise Refusal(413, f"{what} until uncommitted uploads expire.")


def note_pull_contents(db: sqlite3.Connection, repo: Repo, num: int, user: User, sizes: dict[str, int]) -> None:
    """Count the contents that a commit adds to a pull request, except those that the repository has already.

    Args:
        db: A write transaction, before `note_blobs`.
        repo: The repository.
        num: Number of the pull request.
        user: The author of the commit.
        sizes: sha256 to bytes.
    """
    known = "SELECT 1 FROM repo_blobs WHERE repo = ? AND sha256 = ?"
    added = [sha256 for sha256 in sizes if db.execute(known, (repo.id, sha256)).fetchone() is None]
    rows = [(repo.id, num, sha256, user.name, sizes[sha256]) for sha256 in added]
    db.executemany("INSERT OR IGNORE INTO pull_contents VALUES (?, ?, ?, ?, ?)", rows)


def forget_pull_contents(db: sqlite3.Connection, repo: Repo, num: int) -> None:
    """Count the contents of a pull request no longer: it is merged, or its commits are deleted."""
    db.execute("DELETE FROM pull_contents WHERE repo = ? AND num = ?", (repo.id, num))
