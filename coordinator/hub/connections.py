"""Connections that end if their client stalls: in a request's head, in its body, or in reading the response.

`uvicorn` bounds only the pause between two requests, and only until the first byte of the next one.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from paris.coordinator.hub.limits import HubLimits

_log = logging.getLogger(__name__)
_CHECK_EVERY_TICKS = 10
"""The server calls `on_tick` ten times a second."""


class Connection(H11Protocol):
    """One connection; `check` is called every second. All times are those of the event loop's clock."""

    transport: asyncio.Transport
    idle_since: float = 0.0
    """Start of the wait for a request's head."""
    _read_at: float = 0.0
    _body_s: float = 0.0
    """Time spent waiting for a body."""
    _body_bytes: int = 0
    _unread_since: float | None = None
    """When the client stopped reading the response."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the wait for the first request."""
        super().connection_made(transport)
        self.idle_since = self.loop.time()

    def data_received(self, data: bytes) -> None:
        """Count the bytes of the current request."""
        before = self.cycle
        super().data_received(data)
        self._read_at = self.loop.time()
        if self.cycle is not before:
            self._body_s, self._body_bytes = 0.0, 0
        self._body_bytes += len(data)

    def on_response_complete(self) -> None:
        """Start the wait for the next request."""
        self.idle_since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client does not read."""
        self._unread_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._unread_since = None
        super().resume_writing()

    @property
    def is_idle(self) -> bool:
        """Whether no request is in progress."""
        return self.cycle is None or self.cycle.response_complete

    def check(self, limits: HubLimits) -> None:
        """End the connection if its client has stalled for longer than the limits allow."""
        stalled_in = self._stalled_in(limits, self.loop.time())
        if stalled_in:
            _log.info("ended the connection of %s, which stalled in %s", self.client, stalled_in)
            self.transport.abort()

    def _stalled_in(self, limits: HubLimits, now: float) -> str:
        """Where the client stalls; empty if it does not."""
        if self._unread_since is not None:
            return "the response" if now - self._unread_since > limits.stall_s else ""
        if self.is_idle:
            return "the head of a request" if now - self.idle_since > limits.head_s else ""
        if not self.cycle.more_body:
            return ""
        if self.flow.read_paused:
            # The Hub is slow, not the client.
            self._read_at = now
            return ""
        self._body_s += 1.0
        too_slow = self._body_s > limits.stall_s and self._body_bytes < limits.min_body_bytes_per_s * self._body_s
        return "the body of a request" if too_slow or now - self._read_at > limits.stall_s else ""


class BoundedServer(uvicorn.Server):
    """A server that ends stalled connections, with a callback for when it listens.

    Args:
        config: Its `http` must be `Connection`.
        limits: Bounds on pauses and connections.
    """

    on_ready: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, config: uvicorn.Config, limits: HubLimits) -> None:
        super().__init__(config)
        self._limits = limits

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then call `on_ready`."""
        self._stopping = self.lifespan.state["stopping"] = asyncio.Event()
        await super().startup(sockets)
        self.on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; responses without end see `request.state.stopping` set, and end."""
        self._stopping.set()
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Check all connections once a second; return whether the server is to stop."""
        if counter % _CHECK_EVERY_TICKS == 0:
            connections = [it for it in self.server_state.connections if isinstance(it, Connection)]
            for connection in connections:
                connection.check(self._limits)
            idle = sorted((it for it in connections if it.is_idle), key=lambda it: it.idle_since)
            for connection in idle[: max(len(connections) - self._limits.max_connections, 0)]:
                connection.transport.abort()
        return await super().on_tick(counter)
