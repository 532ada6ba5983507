"""Live pages: server-sent events, each a fragment of the page that has changed.

One task looks for changes of the state while anybody watches. What a page shows is rendered once a change, however many
watch it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

from anyio import CapacityLimiter, to_thread

from paris.coordinator.page.pages import Pages
from paris.coordinator.page.queries import Query
from paris.coordinator.page.reading import Snapshot
from paris.coordinator.page.views import View

logger = logging.getLogger(__name__)
_LOOK_EVERY_S = 1.0
_SIGN_OF_LIFE_S = 15.0
_MAX_WATCHERS, _MAX_OF_THE_WORLD = 450, 400
_PARALLEL = 2


class Watch:
    """Tells the watchers of changes.

    Args:
        pages: Renders what they watch.
    """

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._changed = asyncio.Condition()
        self._snapshot: Snapshot | None = None
        self._looking: asyncio.Task[None] | None = None
        self._is_over = False
        self._limiter = CapacityLimiter(_PARALLEL)
        """The page takes so many threads at a time; the others are the Hub's."""
        self.num_watchers = 0

    def is_full(self, *, for_organiser: bool) -> bool:
        """Whether no further page can be live now: each takes a connection, and the Hub needs some of them."""
        return self.num_watchers >= (_MAX_WATCHERS if for_organiser else _MAX_OF_THE_WORLD)

    async def messages(self, view: View, query: Query, seen: int, stopping: asyncio.Event) -> AsyncIterator[bytes]:
        """Server-sent events of one page, until the server stops.

        Args:
            view: The page.
            query: Its parameters.
            seen: Number of the snapshot that the browser shows; older: the whole page is sent once more.
            stopping: Set when the server stops.
        """
        self.num_watchers += 1
        try:
            yield b"retry: 3000\n\n"
            snapshot = await to_thread.run_sync(self._pages.site.reader.snapshot, limiter=self._limiter)
            fragments = await self._fragments(view, query, snapshot)
            sent = fragments if snapshot.number == seen else {}
            while not self._is_over:
                changed = {name: html for name, html in fragments.items() if sent.get(name) != html}
                for name, html in changed.items():
                    yield _event(snapshot.number, name, html)
                sent = fragments
                newer = await self._next(snapshot, stopping)
                if newer is None:
                    yield b": still here\n\n"
                snapshot = newer or snapshot
                fragments = await self._fragments(view, query, snapshot)
        finally:
            self.num_watchers -= 1

    async def _fragments(self, view: View, query: Query, snapshot: Snapshot) -> dict[str, str]:
        return await to_thread.run_sync(self._pages.fragments, view, query, snapshot, limiter=self._limiter)

    async def _next(self, known: Snapshot, stopping: asyncio.Event) -> Snapshot | None:
        """The next snapshot; None if nothing changes for a while."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(stopping))
        try:
            async with asyncio.timeout(_SIGN_OF_LIFE_S), self._changed:
                while not self._is_over and (self._snapshot is None or self._snapshot.number <= known.number):
                    await self._changed.wait()
        except TimeoutError:
            return None
        return self._snapshot

    async def _look(self, stopping: asyncio.Event) -> None:
        """Read the state every second until nobody watches, or the server stops."""
        while self.num_watchers and not stopping.is_set():
            try:
                found = await to_thread.run_sync(self._pages.site.reader.snapshot, limiter=self._limiter)
            except Exception:  # the disk is full, say: the pages stay as they are
                logger.exception("The state cannot be read.")
            else:
                if self._snapshot is None or found.number > self._snapshot.number:
                    async with self._changed:
                        self._snapshot = found
                        self._changed.notify_all()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await stopping.wait()
        async with self._changed:
            self._is_over = stopping.is_set()
            self._changed.notify_all()


def _event(number: int, name: str, html: str) -> bytes:
    return f"id: {number}\ndata: {json.dumps({'id': name, 'html': html})}\n\n".encode()
