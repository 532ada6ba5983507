"""Browsers that have shown the token: each has a session of its own until it signs out, or for half a day."""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict, deque
from enum import StrEnum

from paris.protocol.clock import Clock
from paris.protocol.secrets import keep_secret

LIFE_S = 12 * 3600
_MOST = 32
_TOKEN_BYTES = 32
_MOST_WRONG, _WITHIN_S = 5, 60.0


class Shown(StrEnum):
    """What came of showing a token."""

    RIGHT = "right"
    WRONG = "wrong"
    TOO_MANY = "too-many"
    """Too many wrong ones within a minute: the token was not looked at."""


class Sessions:
    """The token and the open sessions, in memory alone: both end with the node. Used by the server's thread.

    Args:
        clock: Seconds that only grow.
        metrics_token: What Prometheus sends.
    """

    def __init__(self, clock: Clock, metrics_token: str) -> None:
        self.token = secrets.token_urlsafe(_TOKEN_BYTES)
        """256 random bits. Removed from all that is logged."""
        keep_secret(self.token)
        self._clock, self._metrics_token = clock, metrics_token
        self._until: OrderedDict[str, float] = OrderedDict()
        self._wrong_at: deque[float] = deque(maxlen=_MOST_WRONG)

    def show(self, token: str) -> Shown:
        """Check a token."""
        now = self._clock()
        if len(self._wrong_at) == _MOST_WRONG and now - self._wrong_at[0] < _WITHIN_S:
            return Shown.TOO_MANY
        if hmac.compare_digest(token.strip().encode(), self.token.encode()):
            return Shown.RIGHT
        self._wrong_at.append(now)
        return Shown.WRONG

    def reads_metrics(self, authorization: str) -> bool:
        """Whether a request's Authorization header has the token for /metrics."""
        return hmac.compare_digest(authorization.encode(), f"Bearer {self._metrics_token}".encode())

    def open(self) -> str:
        """A new session; the oldest one ends where there are more than 32."""
        session = secrets.token_urlsafe(_TOKEN_BYTES)
        keep_secret(session)
        self._until[session] = self._clock() + LIFE_S
        while len(self._until) > _MOST:
            self._until.popitem(last=False)
        return session

    def is_open(self, session: str | None) -> bool:
        """Whether a session was opened, and has not ended."""
        until = self._until.get(session or "")
        return until is not None and self._clock() < until

    def close(self, session: str | None) -> None:
        """End a session: its cookie opens nothing any more."""
        self._until.pop(session or "", None)
