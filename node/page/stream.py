"""The live page: server-sent events, each a fragment of the page that has changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

from anyio import to_thread

_LOOK_EVERY_S = 1.0
_SIGN_OF_LIFE_S = 15.0
MOST_WATCHERS = 8


class Watch:
    """Tells the browsers of changes.

    Args:
        fragments: Renders the page's live parts, by the id of their elements.
    """

    def __init__(self, fragments: Callable[[], dict[str, str]]) -> None:
        self._fragments = fragments
        self.num_watchers = 0
        self.stopping = asyncio.Event()
        """Set when the node ends."""

    @property
    def is_full(self) -> bool:
        """Whether no further page can be live now."""
        return self.num_watchers >= MOST_WATCHERS

    async def messages(self, may_go_on: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Server-sent events until the node ends.

        Args:
            may_go_on: Whether the browser's session is still open.
        """
        self.num_watchers += 1
        try:
            yield b"retry: 3000\n\n"
            sent: dict[str, str] = {}
            silent_s = 0.0
            while may_go_on() and not self.stopping.is_set():
                fragments = await to_thread.run_sync(self._fragments)
                changed = {name: html for name, html in fragments.items() if sent.get(name) != html}
                for name, html in changed.items():
                    yield f"data: {json.dumps({'id': name, 'html': html})}\n\n".encode()
                sent = fragments
                silent_s = 0.0 if changed else silent_s + _LOOK_EVERY_S
                if silent_s >= _SIGN_OF_LIFE_S:
                    silent_s = 0.0
                    yield b": still here\n\n"
                await self._pause()
        finally:
            self.num_watchers -= 1

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(_LOOK_EVERY_S):
                await self.stopping.wait()
        except TimeoutError:
            return
