"""One port for page and Hub: requests below /run, and for /metrics, are the page's, the others the Hub's.

The page is imported when it is first asked for: without watchers it costs the Hub's process nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from anyio import Lock, to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

_BELOW_RUN = {
    "assets",
    "at",
    "card.png",
    "clusters",
    "events",
    "leaderboard",
    "losses",
    "order",
    "pictures",
    "public",
    "samples",
    "skill",
    "stream",
    "task",
    "verdict",
    "verdicts",
    "volunteers",
}
"""What follows /run/ in addresses of the page: the Hub keeps the repos of an owner named `run`."""


class Front:
    """The application in front.

    Args:
        make_page: Makes the page's application.
        hub: The Hub's application; None: every request is the page's.
    """

    def __init__(self, make_page: Callable[[], ASGIApp], hub: ASGIApp | None = None) -> None:
        self._make_page, self._hub = make_page, hub
        self._page: ASGIApp | None = None
        self._making = Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._hub is not None and not (scope["type"] == "http" and is_of_page(scope["path"])):
            await self._hub(scope, receive, send)
            return
        async with self._making:
            if self._page is None:
                self._page = await to_thread.run_sync(self._make_page)
        await self._page(scope, receive, send)


def is_of_page(path: str) -> bool:
    """Whether an address is the page's."""
    first, _, rest = path.strip("/").partition("/")
    is_run = first == "run" and (not rest or rest.partition("/")[0] in _BELOW_RUN)
    return is_run or path == "/metrics"
