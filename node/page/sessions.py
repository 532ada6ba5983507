"""Browsers that have shown the token: each has a session of its own until it signs out, or for half a day."""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict, deque

from paris.protocol.clock import Clock
from paris.protocol.secrets import keep_secret

LIFE_S = 12 * 3600
_MOST = 32
_TOKEN_BYTES = 32
_MOST_LOGGED, _WITHIN_S = 5, 60.0


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
        self._logged_at: deque[float] = deque(maxlen=_MOST_LOGGED)

    def is_right(self, token: str) -> bool:
        """Whether this is the token.

        The number of wrong ones has no limit: any site can make the browser send them, which would lock the owner out.
        """
        return hmac.compare_digest(token.strip().encode(), self.token.encode())

    def may_log_wrong(self) -> bool:
        """Whether to log one more wrong token: five within a minute."""
        now = self._clock()
        if len(self._logged_at) == _MOST_LOGGED and now - self._logged_at[0] < _WITHIN_S:
            return False
        self._logged_at.append(now)
        return True

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
