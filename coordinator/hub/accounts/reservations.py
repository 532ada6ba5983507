"""Bytes of uploads in progress, which no file and no row counts yet."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator


class Reservations:
    """Announced bytes of the uploads in progress, by user; may be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes: Counter[str] = Counter()

    @contextlib.contextmanager
    def hold(self, user: str, num_bytes: int) -> Iterator[None]:
        """Count an upload while it lasts."""
        self._add(user, num_bytes)
        try:
            yield
        finally:
            self._add(user, -num_bytes)

    def _add(self, user: str, num_bytes: int) -> None:
        with self._lock:
            self._bytes[user] += num_bytes
            if not self._bytes[user]:
                del self._bytes[user]

    def of_user(self, user: str) -> int:
        """Bytes of one user."""
        with self._lock:
            return self._bytes.get(user, 0)

    def total(self) -> int:
        """Bytes of all users."""
        with self._lock:
            return self._bytes.total()
