"""Shards over libp2p streams of the peer that is there anyway: the wire of `protocol/shard_request.py`.

A stream is raw bytes that the daemon passes on, so neither its message limit of 4 MiB nor the DHT's RPC layer matters
here. Both ends are bounded: how long a question may take, how many streams are open, how slowly somebody may read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

from hivemind.p2p.p2p_daemon_bindings.utils import P2PDaemonError

from paris.protocol.dht.daemon import Daemon, last_line
from paris.protocol.dht.loop import LoopThread
from paris.protocol.errors import AddressError, PeerError
from paris.protocol.shard_request import MAX_REQUEST_BYTES, Reply, ShardServer, ShardStatus

_log = logging.getLogger(__name__)
_NAME = "paris.shard.v1"
_PIECE_BYTES = 2**17
_MAX_STREAMS = 64
_QUESTION_TIMEOUT_S = 10.0
_GRACE_S = 30.0
_MIN_READING_BYTES_PER_S = 2**14
"""Whoever reads more slowly is cut off: a stream that stands still would keep others from being served."""
_LENGTH_BYTES, _COUNT_BYTES = 4, 8


class ShardStreams:
    """The serving end, in a peer's event loop.

    Args:
        daemon: Whose streams.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._num_open = 0

    async def serve(self, server: ShardServer) -> None:
        """Answer questions from now on."""

        async def on_stream(_info: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.closing(writer), self._place() as is_free:
                if is_free:
                    await _answer(server, reader, writer)

        await self._daemon.p2p.add_binary_stream_handler(_NAME, on_stream)

    @contextlib.contextmanager
    def _place(self) -> Iterator[bool]:
        self._num_open += 1
        try:
            yield self._num_open <= _MAX_STREAMS
        finally:
            self._num_open -= 1


async def _answer(server: ShardServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.timeout(_QUESTION_TIMEOUT_S):
            size = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
            if size > MAX_REQUEST_BYTES:
                return
            question = await reader.readexactly(size)
        reply = await asyncio.to_thread(server.answer, question)
        try:
            async with asyncio.timeout(_GRACE_S + reply.num_bytes / _MIN_READING_BYTES_PER_S):
                await _send(server, reply, writer)
                # The other end hangs up when it has everything: a stream closed here first may lose its last bytes.
                await reader.read(1)
        finally:
            server.release(reply)
    except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
        _log.debug("A stream for a shard ended early: %s", last_line(error))


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
    """A peer's answer, for synchronous callers; close it. Made by `ask`.

    Args:
        thread: Of the peer that asked.
        reader: Behind the answer's first bytes.
        writer: Of the same stream.
        status: What the peer says.
        num_bytes: How many bytes of the shard it says will follow.
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
        """The next bytes, at least one; none when the peer has closed the stream.

        Raises:
            PeerError: Nothing came in time, or the stream broke.
        """
        try:
            return self._thread.call(self._reader.read(max_bytes), timeout_s=timeout_s)
        except (TimeoutError, CancelledError, OSError, RuntimeError) as error:
            raise PeerError(f"The peer stopped sending: {last_line(error)}.") from error

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(TimeoutError, CancelledError, OSError, RuntimeError):  # then the peer itself is gone
            self._thread.call(_close(self._writer), timeout_s=_QUESTION_TIMEOUT_S)


def ask(thread: LoopThread, daemon: Daemon, address: str, question: bytes, *, timeout_s: float) -> ShardStream:
    """Dial a peer and put a question to it.

    Args:
        thread: Whose loop runs the daemon.
        daemon: Through which to dial.
        address: The peer's full multiaddr.
        question: From `seal_request`.
        timeout_s: Bound until the answer's first bytes.

    Raises:
        PeerError: No connection, no such service there, no answer in time, or not one that can be read.
    """
    try:
        reader, writer, header = thread.call(_open(daemon, address, question), timeout_s=timeout_s)
    except PeerError:
        raise
    except (AddressError, TimeoutError, CancelledError, OSError, RuntimeError) as error:
        raise PeerError(f"{address} does not answer: {last_line(error)}.") from error
    stream = ShardStream(thread, reader, writer, ShardStatus.REFUSED, int.from_bytes(header[1:], "big"))
    try:
        stream.status = ShardStatus(header[0])
    except ValueError as error:
        stream.close()
        raise PeerError(f"{address} answers {header[0]}, which means nothing.") from error
    return stream


async def _open(
    daemon: Daemon, address: str, question: bytes
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    peer = await daemon.dial(address)
    try:
        _, reader, writer = await daemon.p2p.call_binary_stream_handler(peer, _NAME)
    except (P2PDaemonError, asyncio.IncompleteReadError) as error:
        raise PeerError(f"{address} serves no shards: {last_line(error)}.") from error
    try:
        writer.write(len(question).to_bytes(_LENGTH_BYTES, "big") + question)
        await writer.drain()
        return reader, writer, await reader.readexactly(1 + _COUNT_BYTES)
    except asyncio.IncompleteReadError as error:
        writer.close()
        raise PeerError(f"{address} hung up without an answer.") from error
    except BaseException:
        writer.close()
        raise


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
