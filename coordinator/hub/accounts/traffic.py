"""Traffic counts: bytes by user, repository and part of it. Counted in memory, saved every few seconds."""

from __future__ import annotations

import threading
import time
from collections import defaultdict

from paris.coordinator.hub.storage.store import Store

SAVE_EVERY_S = 10.0
_MAX_USERS = 10_000
_OTHERS = "(others)"
Key = tuple[str, str, str]


class Traffic:
    """Counts of body bytes received and sent; a killed server loses at most the last `SAVE_EVERY_S` seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store
        with store.read() as db:
            self._users = {str(row[0]) for row in db.execute("SELECT DISTINCT user FROM traffic")}
        self._lock = threading.Lock()
        self._fresh: dict[Key, list[int]] = defaultdict(lambda: [0, 0])
        self._saved_at = time.monotonic()

    def add(self, key: Key, received_bytes: int, sent_bytes: int) -> None:
        """Count one request.

        Args:
            key: User, kind/owner/name of the repository, first folder of the file or a word in brackets.
            received_bytes: Body bytes of the request.
            sent_bytes: Body bytes of the response.
        """
        user, repo, part = key
        with self._lock:
            # Any token has a user name, so their number has a bound.
            if len(self._users) < _MAX_USERS:
                self._users.add(user)
            counts = self._fresh[user if user in self._users else _OTHERS, repo, part]
            counts[0] += received_bytes
            counts[1] += sent_bytes

    def is_due(self) -> bool:
        """Whether the counts should be saved."""
        return time.monotonic() - self._saved_at > SAVE_EVERY_S

    def save(self) -> None:
        """Add the counts since the last call to the database."""
        with self._lock:
            fresh, self._fresh = self._fresh, defaultdict(lambda: [0, 0])
            self._saved_at = time.monotonic()
        if not fresh:
            return
        with self._store.write() as db:
            db.executemany(
                "INSERT INTO traffic VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "received = received + excluded.received, sent = sent + excluded.sent",
                [(*key, *counts) for key, counts in fresh.items()],
            )

    def totals(self) -> dict[str, int]:
        """All bytes so far, by direction: received, sent."""
        with self._lock:
            fresh = [tuple(counts) for counts in self._fresh.values()]
        with self._store.read() as db:
            saved = db.execute("SELECT coalesce(sum(received), 0), coalesce(sum(sent), 0) FROM traffic").fetchone()
        received, sent = (sum(parts) for parts in zip(tuple(saved), *fresh, strict=True))
        return {"received": received, "sent": sent}

    def report(self) -> dict[str, object]:
        """All counts as JSON, for `GET /api/paris/traffic`."""
        self.save()
        with self._store.read() as db:
            rows = db.execute("SELECT * FROM traffic ORDER BY user, repo, part").fetchall()
        return {
            "uploaded_bytes": sum(row["received"] for row in rows),
            "downloaded_bytes": sum(row["sent"] for row in rows),
            "entries": [
                {
                    "user": row["user"],
                    "repo": row["repo"],
                    "part": row["part"],
                    "uploaded_bytes": row["received"],
                    "downloaded_bytes": row["sent"],
                }
                for row in rows
            ],
        }
