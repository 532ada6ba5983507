"""One file of a Hub repo, and one ranged request for its missing bytes.

Bytes on disk are never cut: an answer that begins elsewhere is read past them, or refused. Only the hash of the whole
file decides that they are wrong.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paris.node.errors import TransientHubError
from paris.node.hub.client import Hub, refuse_page, translated
from paris.protocol.hub_answers import plain_url

_RANGE = re.compile(r"bytes ([0-9]{1,18})-")


@dataclass(frozen=True)
class Wanted:
    """One file of a Hub repo at a pinned revision, with its signed size and hash."""

    repo: str
    revision: str
    path: str
    sha256: str
    num_bytes: int
    repo_type: str = "dataset"


def append_from_hub(hub: Hub, wanted: Wanted, part: Path, on_bytes: Callable[[int], None], piece_bytes: int) -> None:
    """Append the missing bytes to a part file; the content is not checked.

    Args:
        hub: The run's Hub.
        wanted: The file.
        part: Appended to; created if missing.
        on_bytes: Called with the size of each piece once it is written; may wait, or raise to end it.
        piece_bytes: Size of a piece.

    Raises:
        TransientHubError: A later try may work; the part keeps all its bytes.
        HubRefusedError: The Hub rejected the request permanently.
    """
    offset = part.stat().st_size if part.exists() else 0
    if offset >= wanted.num_bytes > 0:
        return
    url = hub.url(wanted.repo, wanted.path, repo_type=wanted.repo_type, revision=wanted.revision)
    with hub.stream(url, offset) as response:
        begins_at = 0 if response.status_code == 200 else _range_start(response)
        if begins_at not in (0, offset):
            raise TransientHubError(
                f"GET {plain_url(url)}: the answer ({response.status_code}) does not continue at byte {offset}."
            )
        # At most one byte more than signed (then the hash fails): an endless body never fills the disk.
        left = wanted.num_bytes - offset + 1
        with part.open("ab") as file, translated(f"GET {url}"):
            for piece in _from_byte(offset - begins_at, url, response.iter_raw(piece_bytes), on_bytes):
                file.write(piece[:left])
                on_bytes(len(piece))
                left -= len(piece)
                if left <= 0:
                    break
            file.flush()
            os.fsync(file.fileno())
        if left > 1:
            raise TransientHubError(f"GET {plain_url(url)}: the answer ended {left - 1} bytes early.")


def _from_byte(num_skipped: int, url: str, pieces: Iterator[bytes], on_bytes: Callable[[int], None]) -> Iterator[bytes]:
    """The body without its first bytes, which are on disk already.

    Raises:
        TransientHubError: The body starts as a web page.
    """
    is_first = True
    for piece in pieces:
        if is_first:
            refuse_page(url, piece)
            is_first = False
        skipped = min(num_skipped, len(piece))
        num_skipped -= skipped
        if skipped:
            on_bytes(skipped)
        if skipped < len(piece):
            yield piece[skipped:]


def _range_start(response: Any) -> int | None:
    """First byte of Content-Range; None if it is absent or malformed."""
    found = _RANGE.match(response.headers.get("Content-Range", ""))
    return int(found[1]) if found is not None else None
