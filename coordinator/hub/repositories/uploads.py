"""Uploaded contents that no commit refers to yet, and the right to put a content into a commit.

Knowing a sha256 gives no access to the content: only its uploader, and users who can read it in a repository, may
commit it.
"""

from __future__ import annotations

import sqlite3

from paris.coordinator.hub.accounts.auth import User
from paris.coordinator.hub.repositories.repos import get_repo, may_read
from paris.coordinator.hub.storage.store import Store


def note_uploads(store: Store, user: str, sizes: dict[str, int], at: float) -> None:
    """Record that a user uploaded these contents, which keeps them for a day until a commit refers to them.

    Args:
        store: The database.
        user: The uploader's name.
        sizes: sha256 to bytes.
        at: UTC seconds.
    """
    with store.write() as db:
        rows = [(sha256, user, size, at) for sha256, size in sizes.items()]
        db.executemany("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?)", rows)


def may_commit(db: sqlite3.Connection, user: User, sha256: str) -> bool:
    """Whether the user uploaded this content, or can read it in a repository."""
    sent = db.execute("SELECT 1 FROM uploads WHERE sha256 = ? AND user = ?", (sha256, user.name)).fetchone()
    if sent:
        return True
    labels = db.execute(
        "SELECT kind, owner, name FROM repo_blobs JOIN repos ON id = repo WHERE sha256 = ?", (sha256,)
    ).fetchall()
    repos = (get_repo(db, *row) for row in labels)
    return any(repo is not None and may_read(user, repo) for repo in repos)
