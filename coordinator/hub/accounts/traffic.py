"""Traffic counts: bytes by user, repository and part of it. Counted in memory, saved every few seconds."""

from __future__ import annotations

import threading
from collections import defaultdict

from paris.coordinator.hub.storage.store import Store

SAVE_EVERY_S = 10.0
Key = tuple[str, str, str]


class Traffic:
    """Counts of body bytes received and sent; a killed server loses at most the last `SAVE_EVERY_S` seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._fresh: dict[Key, list[int]] = defaultdict(lambda: [0, 0])
        self._saved_at = 0.0

    def add(self, key: Key, received_bytes: int, sent_bytes: int) -> None:
        """Count one request.

        Args:
            key: User, kind/owner/name of the repository, first folder of the file or a word in brackets.
            received_bytes: Body bytes of the request.
            sent_bytes: Body bytes of the response.
        """
        with self._lock:
            counts = self._fresh[key]
            counts[0] += received_bytes
            counts[1] += sent_bytes

    def is_due(self, now: float) -> bool:
        """Whether the counts should be saved."""
        return now - self._saved_at > SAVE_EVERY_S

    def save(self, now: float) -> None:
        """Add the counts since the last call to the database."""
        with self._lock:
            fresh, self._fresh = self._fresh, defaultdict(lambda: [0, 0])
            self._saved_at = now
        if not fresh:
            return
        with self._store.write() as db:
            db.executemany(
                "INSERT INTO traffic VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "received = received + excluded.received, sent = sent + excluded.sent",
                [(*key, *counts) for key, counts in fresh.items()],
            )

    def report(self, now: float) -> dict[str, object]:
        """All counts as JSON, for `GET /api/paris/traffic`."""
        self.save(now)
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
