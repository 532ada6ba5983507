"""Download of one file of one revision, whole or a range."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from anyio import to_thread
from starlette.responses import Response, StreamingResponse

from paris.coordinator.hub.access import find_repo
from paris.coordinator.hub.context import Call
from paris.coordinator.hub.errors import Refusal, entry_not_found
from paris.coordinator.hub.names import PICTURES
from paris.coordinator.hub.repositories.repos import files_at, resolve
from paris.coordinator.hub.storage.trees import FileEntry

_CHUNK_BYTES = 512 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True, slots=True)
class _Found:
    entry: FileEntry
    file: Path
    headers: dict[str, str]


async def get_file(call: Call) -> Response:
    """GET or HEAD resolve/{rev}/{path}: a file's bytes."""
    found = await call.in_thread(_find, call)
    size = found.entry.size
    if _names(call.request.headers.get("if-none-match", ""), found.entry.etag):
        return Response(status_code=304, headers=found.headers)
    span = _asked_range(call, found)
    first, last = span or (0, size - 1)
    headers = {**found.headers, "Content-Length": str(last - first + 1)}
    if span:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    status = 206 if span else 200
    if call.request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    return StreamingResponse(_read(found.file, first, last - first + 1), status, headers)


def _find(call: Call) -> _Found:
    repo = find_repo(call)
    commit = resolve(call.reader, repo, call.params["rev"])
    path = call.params["path"]
    entry = files_at(call.reader, repo, commit).find(path)
    if entry is None:
        raise entry_not_found(path, commit.oid)
    call.part_label = path.partition("/")[0] if "/" in path else "(root)"
    name = path.rpartition("/")[2]
    headers = {
        "X-Repo-Commit": commit.oid,
        "ETag": f'"{entry.etag}"',
        "Accept-Ranges": "bytes",
        "Content-Type": PICTURES.get(name.rpartition(".")[2].lower(), "application/octet-stream"),
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        # An uploaded file must never run as a page of this Hub.
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
    }
    if entry.is_lfs:
        headers |= {"X-Linked-Etag": f'"{entry.sha256}"', "X-Linked-Size": str(entry.size)}
    return _Found(entry, call.hub.blobs.path(entry.sha256), headers)


def _names(header: str, etag: str) -> bool:
    """Whether a list of ETags contains this one."""
    return any(part.strip().removeprefix("W/").strip('"') == etag for part in header.split(",")) if header else False


def _asked_range(call: Call, found: _Found) -> tuple[int, int] | None:
    """First and last requested byte; None for the whole file: no range, an unsupported one, or a stale If-Range.

    Raises:
        Refusal: 416, the range is outside the file.
    """
    condition = call.request.headers.get("if-range")
    match = _RANGE.fullmatch(call.request.headers.get("range", "").strip())
    if match is None or match[0] == "bytes=-" or (condition is not None and condition.strip() != found.headers["ETag"]):
        return None
    size = found.entry.size
    if match[1]:
        first, last = int(match[1]), min(int(match[2]) if match[2] else size - 1, size - 1)
        if match[2] and int(match[2]) < int(match[1]):
            return None
    else:
        first, last = max(size - int(match[2]), 0), size - 1
    if first > last:
        what = f"The file has {size} bytes; {match[0]} is outside."
        raise Refusal(416, what, headers={"Content-Range": f"bytes */{size}"})
    return first, last


async def _read(file: Path, offset: int, num_bytes: int) -> AsyncIterator[bytes]:
    opened = await to_thread.run_sync(_open_at, file, offset)
    try:
        while num_bytes > 0:
            chunk = await to_thread.run_sync(opened.read, min(_CHUNK_BYTES, num_bytes))
            if not chunk:
                break
            num_bytes -= len(chunk)
            yield chunk
    finally:
        opened.close()


def _open_at(file: Path, offset: int) -> BinaryIO:
    opened = file.open("rb")
    opened.seek(offset)
    return opened
