"""Bodies of requests: bounded, and written to files by threads, so that a slow disk stops no other request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from paris.coordinator.hub.context import Call
from paris.coordinator.hub.errors import Refusal

_WRITE_BYTES = 512 * 1024


async def bounded_body(call: Call, max_bytes: int) -> AsyncIterator[bytes]:
    """The chunks of a body.

    Raises:
        Refusal: 413, it has more bytes; before any is read if the request announces them.
    """
    too_large = Refusal(413, f"The request is larger than {max_bytes} bytes.", headers={"Connection": "close"})
    announced = call.request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > max_bytes:
        raise too_large
    num_bytes = 0
    async for chunk in call.request.stream():
        num_bytes += len(chunk)
        if num_bytes > max_bytes:
            raise too_large
        if chunk:
            yield chunk


async def write_in_thread(call: Call, chunks: AsyncIterator[bytes], write: Callable[[list[bytes]], object]) -> None:
    """Hand chunks to `write`, in a thread, about 512 KiB at a time."""
    waiting: list[bytes] = []
    num_bytes = 0
    async for chunk in chunks:
        waiting.append(chunk)
        num_bytes += len(chunk)
        if num_bytes >= _WRITE_BYTES:
            await call.in_thread(write, waiting)
            waiting, num_bytes = [], 0
    if waiting:
        await call.in_thread(write, waiting)
