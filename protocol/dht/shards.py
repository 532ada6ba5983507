"""Shards over libp2p streams of the DHT peer, in the format of `protocol/shard_request.py`.

The daemon passes streams on as raw bytes, without its message limit of 4 MiB or the DHT's RPC layer. The time for a
request, the reading speed and the number of open streams (`stream_places.py`) have limits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from concurrent.futures import CancelledError
from typing import Any

from hivemind.p2p.p2p_daemon_bindings.utils import P2PDaemonError

from paris.protocol.dht.daemon import Daemon, last_line
from paris.protocol.dht.loop import LoopThread
from paris.protocol.dht.stream_places import StreamPlace, StreamPlaces
from paris.protocol.errors import AddressError, PeerError
from paris.protocol.shard_request import MAX_REQUEST_BYTES, Reply, ShardServer, ShardStatus

_log = logging.getLogger(__name__)
_NAME = "paris.shard.v1"
_PIECE_BYTES = 2**17
_REQUEST_TIMEOUT_S = 10.0
_GRACE_S = 30.0
_MIN_READING_BYTES_PER_S = 2**14
"""Slower readers are disconnected, so that a stalled stream does not block others."""
_LENGTH_BYTES, _COUNT_BYTES = 4, 8


class ShardStreams:
    """Serves shards, in a peer's event loop.

    Args:
        daemon: The peer's daemon.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._places = StreamPlaces()

    async def serve(self, server: ShardServer) -> None:
        """Start answering requests."""

        async def on_stream(info: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.closing(writer):
                place = self._places.enter(str(info.peer_id), writer.transport.abort)
                if place is None:
                    return
                try:
                    await _answer(server, self._places, place, reader, writer)
                except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
                    _log.debug("A shard stream ended early: %s", last_line(error))
                finally:
                    self._places.leave(place)

        await self._daemon.p2p.add_binary_stream_handler(_NAME, on_stream)


async def _answer(
    server: ShardServer,
    places: StreamPlaces,
    place: StreamPlace,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    async with asyncio.timeout(_REQUEST_TIMEOUT_S):
        size = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
        if size > MAX_REQUEST_BYTES:
            return
        request = await reader.readexactly(size)
    reply = await _checked(server, places, place, request)
    try:
        sending_s = _GRACE_S + reply.num_bytes / _MIN_READING_BYTES_PER_S if reply.num_bytes else _REQUEST_TIMEOUT_S
        async with asyncio.timeout(sending_s):
            await _send(server, reply, writer)
            # Wait until the other side closes the stream: closing it first could lose the last bytes.
            await reader.read(1)
    finally:
        server.release(reply)


async def _checked(server: ShardServer, places: StreamPlaces, place: StreamPlace, request: bytes) -> Reply:
    """The server's reply, if the question is checked and its signer has a place left."""
    if not places.may_check(place):
        return Reply(ShardStatus.REFUSED)
    reply = await asyncio.to_thread(server.answer, request)
    if reply.status is ShardStatus.REFUSED:
        places.refused(place)
    elif reply.signer and not places.accepted(place, reply.signer):
        server.release(reply)
        return Reply(ShardStatus.BUSY)
    return reply


async def _send(server: ShardServer, reply: Reply, writer: asyncio.StreamWriter) -> None:
    writer.write(bytes([reply.status]) + reply.num_bytes.to_bytes(_COUNT_BYTES, "big"))
    await writer.drain()
    if reply.path is None:
        return
    with reply.path.open("rb") as file:
        file.seek(reply.offset)
        left = reply.num_bytes
        while left > 0:
            piece = await asyncio.to_thread(file.read, min(_PIECE_BYTES, left))
            if not piece:
                raise OSError(f"{reply.path.name} is shorter than it was")
            await asyncio.sleep(server.pace(len(piece)))
            writer.write(piece)
            await writer.drain()
            left -= len(piece)


class ShardStream:
    """A peer's response, for synchronous callers, who must close it. Made by `open_shard_stream`.

    Args:
        thread: The thread of the local peer.
        reader: Positioned after the header.
        writer: Of the same stream.
        status: The status in the header.
        num_bytes: The announced number of bytes.
    """

    def __init__(
        self,
        thread: LoopThread,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        status: ShardStatus,
        num_bytes: int,
    ) -> None:
        self._thread, self._reader, self._writer = thread, reader, writer
        self.status, self.num_bytes = status, num_bytes

    def read(self, max_bytes: int, *, timeout_s: float) -> bytes:
        """Read at least one byte; returns none when the peer has closed the stream.

        Raises:
            PeerError: Timeout, or the stream broke.
        """
        try:
            return self._thread.call(self._reader.read(max_bytes), timeout_s=timeout_s)
        except (TimeoutError, CancelledError, OSError, RuntimeError) as error:
            raise PeerError(f"The peer stopped sending: {last_line(error)}.") from error

    def close(self) -> None:
        """Close the stream."""
        with contextlib.suppress(TimeoutError, CancelledError, OSError, RuntimeError):  # the local peer has stopped
            self._thread.call(_close(self._writer), timeout_s=_REQUEST_TIMEOUT_S)


def open_shard_stream(
    thread: LoopThread, daemon: Daemon, address: str, request: bytes, *, timeout_s: float
) -> ShardStream:
    """Send a shard request to a peer and read the header of its response.

    Args:
        thread: Runs the daemon's event loop.
        daemon: The local daemon.
        address: The peer's full multiaddr.
        request: From `seal_request`.
        timeout_s: Limit until the header has arrived.

    Raises:
        PeerError: No connection, the peer does not serve shards, timeout, or an invalid response.
    """
    try:
        reader, writer, header = thread.call(_open(daemon, address, request), timeout_s=timeout_s)
    except PeerError:
        raise
    except (AddressError, TimeoutError, CancelledError, OSError, RuntimeError) as error:
        raise PeerError(f"{address} does not answer: {last_line(error)}.") from error
    stream = ShardStream(thread, reader, writer, ShardStatus.REFUSED, int.from_bytes(header[1:], "big"))
    try:
        stream.status = ShardStatus(header[0])
    except ValueError as error:
        stream.close()
        raise PeerError(f"{address} answers with unknown status {header[0]}.") from error
    return stream


async def _open(
    daemon: Daemon, address: str, request: bytes
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    peer = await daemon.dial(address)
    try:
        _, reader, writer = await daemon.p2p.call_binary_stream_handler(peer, _NAME)
    except (P2PDaemonError, asyncio.IncompleteReadError) as error:
        raise PeerError(f"{address} serves no shards: {last_line(error)}.") from error
    try:
        writer.write(len(request).to_bytes(_LENGTH_BYTES, "big") + request)
        await writer.drain()
        return reader, writer, await reader.readexactly(1 + _COUNT_BYTES)
    except asyncio.IncompleteReadError as error:
        writer.close()
        raise PeerError(f"{address} closed the stream without an answer.") from error
    except BaseException:
        writer.close()
        raise


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
