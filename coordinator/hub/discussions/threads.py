"""Discussions and pull requests as rows: numbers, states, events."""

from __future__ import annotations

import html
import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from paris.coordinator.hub.accounts.auth import User
from paris.coordinator.hub.errors import Refusal, forbidden
from paris.coordinator.hub.repositories.repos import Repo
from paris.coordinator.hub.timestamps import timestamp

LIVE = ("open", "draft")
ENDED = ("closed", "merged")


@dataclass(frozen=True, slots=True)
class Thread:
    """One discussion or pull request."""

    num: int
    title: str
    author: str
    status: str
    """draft, open, closed or merged."""
    is_pull_request: bool
    base_ref: str | None
    base_oid: str | None
    """The commit that the pull request is based on."""
    merge_oid: str | None
    created_at: float

    @property
    def ref(self) -> str:
        """The ref of a pull request's commits."""
        return f"refs/pr/{self.num}"


def _thread_of(row: sqlite3.Row) -> Thread:
    values = {key: row[key] for key in row.keys() if key != "repo"}  # noqa: SIM118 - a Row iterates over its values
    return Thread(**{**values, "is_pull_request": bool(row["is_pull_request"])})


def open_thread(
    db: sqlite3.Connection,
    repo: Repo,
    *,
    title: str,
    author: str,
    status: str,
    base_ref: str | None,
    base_oid: str | None,
    at: float,
) -> int:
    """Insert a discussion, or a pull request if it has a base; return its number."""
    num = db.execute("SELECT COALESCE(MAX(num), 0) + 1 FROM discussions WHERE repo = ?", (repo.id,)).fetchone()[0]
    row = (repo.id, num, title, author, status, base_ref is not None, base_ref, base_oid, None, at)
    db.execute("INSERT INTO discussions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    return int(num)


def open_discussion(
    db: sqlite3.Connection, repo: Repo, user: User, *, title: str, text: str, max_open: int, at: float
) -> int:
    """Insert a discussion with its first comment; return its number.

    Raises:
        Refusal: 403, the user has too many open discussions.
    """
    require_room(db, repo, user, max_open)
    num = open_thread(db, repo, title=title, author=user.name, status="open", base_ref=None, base_oid=None, at=at)
    add_event(db, repo, num, "comment", user.name, comment_data(text, user.name, at), at)
    return num


def get_thread(db: sqlite3.Connection, repo: Repo, num: int) -> Thread:
    """A discussion or pull request by number.

    Raises:
        Refusal: 404.
    """
    row = db.execute("SELECT * FROM discussions WHERE repo = ? AND num = ?", (repo.id, num)).fetchone()
    if row is None:
        raise Refusal(404, f"{repo.full_name} has no discussion {num}.")
    return _thread_of(row)


@dataclass(frozen=True, slots=True)
class ThreadFilter:
    """The discussions and pull requests wanted from a listing; by default all."""

    is_pull_request: bool | None = None
    statuses: tuple[str, ...] = (*LIVE, *ENDED)
    author: str = ""

    def _where(self, repo: Repo) -> tuple[str, list[object]]:
        marks = ", ".join("?" * len(self.statuses))
        sql = f"FROM discussions WHERE repo = ? AND status IN ({marks}) AND is_pull_request IN (?, ?)"
        kinds = (False, True) if self.is_pull_request is None else (self.is_pull_request,) * 2
        values: list[object] = [repo.id, *self.statuses, *kinds]
        if self.author:
            return sql + " AND author = ?", [*values, self.author]
        return sql, values

    def count(self, db: sqlite3.Connection, repo: Repo) -> int:
        """Number of threads."""
        sql, values = self._where(repo)
        return int(db.execute("SELECT COUNT(*) " + sql, values).fetchone()[0])

    def page(self, db: sqlite3.Connection, repo: Repo, start: int, size: int) -> list[Thread]:
        """Threads from an index on, newest first."""
        sql, values = self._where(repo)
        rows = db.execute(f"SELECT * {sql} ORDER BY num DESC LIMIT ? OFFSET ?", [*values, size, start]).fetchall()
        return [_thread_of(row) for row in rows]


def require_edit_right(repo: Repo, thread: Thread, user: User) -> None:
    """Check that the user may change a thread's state or title: the author or the repository's owner.

    Raises:
        Refusal: 403.
    """
    if user.name != thread.author and not user.owns(repo.owner):
        raise forbidden(f"Only {thread.author} and the owner of {repo.full_name} may change #{thread.num}")


def require_room(db: sqlite3.Connection, repo: Repo, user: User, max_open: int) -> None:
    """Check the bound on open discussions and pull requests of a user without write access.

    Raises:
        Refusal: 403.
    """
    sql = "SELECT COUNT(*) FROM discussions WHERE repo = ? AND author = ? AND status IN ('open', 'draft')"
    if not user.owns(repo.owner) and db.execute(sql, (repo.id, user.name)).fetchone()[0] >= max_open:
        raise forbidden(f"{user.name} has {max_open} open discussions in {repo.full_name}; close one first")


def require_room_in(db: sqlite3.Connection, repo: Repo, num: int, user: User, max_events: int) -> None:
    """Check the bound on events of a thread, for a user without write access.

    Raises:
        Refusal: 403.
    """
    sql = "SELECT COUNT(*) FROM events WHERE repo = ? AND num = ?"
    if not user.owns(repo.owner) and db.execute(sql, (repo.id, num)).fetchone()[0] >= max_events:
        raise forbidden(f"Discussion {num} of {repo.full_name} has reached its limit of {max_events} events")


def set_status(db: sqlite3.Connection, repo: Repo, thread: Thread, status: str, user: str, at: float) -> None:
    """Change a thread's state and add the event."""
    db.execute("UPDATE discussions SET status = ? WHERE repo = ? AND num = ?", (status, repo.id, thread.num))
    add_event(db, repo, thread.num, "status-change", user, {"status": status}, at)


def comment_data(text: str, author: str, at: float) -> dict[str, Any]:
    """The data of a comment event; the text is escaped, never interpreted as HTML."""
    latest = {
        "raw": text,
        "html": f"<p>{html.escape(text)}</p>",
        "updatedAt": timestamp(at),
        "author": {"name": author},
    }
    return {"edited": False, "hidden": False, "latest": latest, "history": []}


def add_event(
    db: sqlite3.Connection, repo: Repo, num: int, kind: str, author: str, data: dict[str, Any], at: float
) -> dict[str, Any]:
    """Insert an event; return it in the form of the client."""
    row = (repo.id, num, kind, author, json.dumps(data), at)
    sql = "INSERT INTO events (repo, num, type, author, data, created_at) VALUES (?, ?, ?, ?, ?, ?) RETURNING *"
    return _event_json(db.execute(sql, row).fetchone())


def events_of(db: sqlite3.Connection, repo: Repo, num: int) -> list[dict[str, Any]]:
    """All events of a thread, oldest first."""
    rows = db.execute("SELECT * FROM events WHERE repo = ? AND num = ? ORDER BY id", (repo.id, num)).fetchall()
    return [_event_json(row) for row in rows]


def _event_json(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "id": f"{row['id']:024x}",
        "type": row["type"],
        "author": {"name": row["author"]},
        "createdAt": timestamp(row["created_at"]),
        "data": json.loads(row["data"]),
    }
