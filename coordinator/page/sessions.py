"""Who may give orders: a browser that has shown the organiser's token, from a page of this site.

The token comes once, in the body of a form; a cookie stands for it from then on. A form of another site cannot give an
order: browsers name the page that a form was on in `Origin`, and do not send the cookie along.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from paris.coordinator.page.access import base_of
from paris.coordinator.run.page_token import read_page_token
from paris.protocol.clock import Clock

_COOKIE = "paris_page"
_LIFE_S = 12 * 3600
_MOST = 64


class Sessions:
    """The browsers that have shown the token.

    Args:
        run_dir: Where the token is.
        clock: Seconds that only grow.
    """

    def __init__(self, run_dir: Path, clock: Clock) -> None:
        self._run_dir, self._clock = run_dir, clock
        self._until: OrderedDict[str, float] = OrderedDict()

    def is_open(self, request: Request) -> bool:
        """Whether the browser has shown the token, not longer ago than half a day."""
        until = self._until.get(request.cookies.get(_COOKIE, ""))
        return until is not None and self._clock() < until

    def admits(self, request: Request, token: str) -> bool:
        """Whether a form may give an order: it is of this site, and comes with the session or the token."""
        if (
            request.headers.get("origin") != base_of(request)
            or request.headers.get("sec-fetch-site", "same-origin") != "same-origin"
        ):
            return False
        known = read_page_token(self._run_dir)
        is_right = known is not None and hmac.compare_digest(token.strip().encode(), known.encode())
        return is_right or self.is_open(request)

    def open(self, request: Request, response: Response) -> None:
        """Let the browser give further orders without the token."""
        if self.is_open(request):
            return
        session = secrets.token_hex(32)
        self._until[session] = self._clock() + _LIFE_S
        while len(self._until) > _MOST:
            self._until.popitem(last=False)
        response.set_cookie(_COOKIE, session, max_age=_LIFE_S, path="/run", httponly=True, samesite="strict")
