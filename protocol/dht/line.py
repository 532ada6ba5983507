"""The line over libp2p streams of the DHT peer, in the format of `protocol/line.py`: one request a stream."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from concurrent.futures import CancelledError
from typing import Any

from hivemind.p2p.p2p_daemon_bindings.utils import P2PDaemonError

from paris.protocol.dht.daemon import Daemon, last_line
from paris.protocol.dht.loop import LoopThread
from paris.protocol.dht.rpc import TrafficCounter
from paris.protocol.dht.stream_places import StreamPlace, StreamPlaces
from paris.protocol.errors import AddressError, PeerError
from paris.protocol.line import MAX_REPLY_BYTES, MAX_REQUEST_BYTES, LineServer, Taken

_log = logging.getLogger(__name__)
_NAME = "paris.line.v1"
_REQUEST_TIMEOUT_S = 5.0
_PATIENCE_S = 4.0
"""A request waits no longer for what it causes."""
_HURRY_TIMEOUT_S = 4.0
"""After it: for a reply that must be made now."""
_SEND_TIMEOUT_S = 10.0
_LENGTH_BYTES = 4


class LineStreams:
    """Serves the line, in a peer's event loop.

    Args:
        daemon: The peer's daemon.
        traffic: Counts the bytes.
    """

    def __init__(self, daemon: Daemon, traffic: TrafficCounter) -> None:
        self._daemon, self._traffic = daemon, traffic
        self._places = StreamPlaces()

    async def serve(self, server: LineServer) -> None:
        """Start answering requests."""

        async def on_stream(info: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.closing(writer):
                place = self._places.enter(str(info.peer_id), writer.transport.abort)
                if place is None:
                    return
                try:
                    await self._answer(server, place, reader, writer)
                except (TimeoutError, OSError, asyncio.IncompleteReadError, PeerError) as error:
                    _log.debug("A stream of the line ended early: %s", last_line(error))
                finally:
                    self._places.leave(place)

        await self._daemon.p2p.add_binary_stream_handler(_NAME, on_stream)

    async def _answer(
        self, server: LineServer, place: StreamPlace, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async with asyncio.timeout(_REQUEST_TIMEOUT_S):
            request = await _read_message(reader, MAX_REQUEST_BYTES)
        if not self._places.may_check(place):
            return
        taken = await asyncio.to_thread(server.take, request, to=self._daemon.peer_id, peer=place.peer)
        if taken is None:
            self._places.refused(place)
            return
        if not self._places.accepted(place, taken.signer):
            return
        reply = await _reply(server, taken)
        async with asyncio.timeout(_SEND_TIMEOUT_S):
            _write_message(writer, reply)
            await writer.drain()
            # Wait until the other side closes the stream: closing it first could lose the last bytes.
            await reader.read(1)
        self._traffic.received(num_bytes=len(request))
        self._traffic.sent(num_bytes=len(reply))


async def _reply(server: LineServer, taken: Taken) -> bytes:
    """The reply.

    Raises:
        PeerError: The request is refused.
        TimeoutError: The server made none.
    """
    waiting = asyncio.wrap_future(taken.reply)
    done, _ = await asyncio.wait({waiting}, timeout=_PATIENCE_S)
    if not done:
        await asyncio.to_thread(server.hurry, taken)
    return await asyncio.wait_for(waiting, _HURRY_TIMEOUT_S)


def ask(
    thread: LoopThread, daemon: Daemon, traffic: TrafficCounter, address: str, request: bytes, *, timeout_s: float
) -> bytes:
    """Send a request to a peer and wait for its reply.

    Args:
        thread: Runs the daemon's event loop.
        daemon: The local daemon.
        traffic: Counts the bytes.
        address: The peer's full multiaddr.
        request: From `line.seal_request`.
        timeout_s: Limit for all of it.

    Raises:
        PeerError: No connection, the peer does not serve the line or refuses the request, timeout, or a reply that is
            too long.
    """
    try:
        return thread.call(_ask(daemon, traffic, address, request), timeout_s=timeout_s)
    except PeerError:
        raise
    except (AddressError, TimeoutError, CancelledError, OSError, RuntimeError) as error:
        raise PeerError(f"{address} does not answer: {last_line(error)}.") from error


async def _ask(daemon: Daemon, traffic: TrafficCounter, address: str, request: bytes) -> bytes:
    peer = await daemon.dial(address)
    try:
        _, reader, writer = await daemon.p2p.call_binary_stream_handler(peer, _NAME)
    except (P2PDaemonError, asyncio.IncompleteReadError) as error:
        raise PeerError(f"{address} does not serve the line: {last_line(error)}.") from error
    with contextlib.closing(writer):
        _write_message(writer, request)
        await writer.drain()
        traffic.sent(num_bytes=len(request))
        try:
            reply = await _read_message(reader, MAX_REPLY_BYTES)
        except asyncio.IncompleteReadError as error:
            raise PeerError(f"{address} closed the stream without a reply.") from error
    traffic.received(num_bytes=len(reply))
    return reply


def _write_message(writer: asyncio.StreamWriter, message: bytes) -> None:
    writer.write(len(message).to_bytes(_LENGTH_BYTES, "big") + message)


async def _read_message(reader: asyncio.StreamReader, max_bytes: int) -> bytes:
    """The next message of a stream.

    Raises:
        PeerError: It is too long.
    """
    size = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
    if size > max_bytes:
        raise PeerError(f"A message of {size} bytes, at most {max_bytes} are allowed.")
    return await reader.readexactly(size)
