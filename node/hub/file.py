"""One file of a Hub repo, and one ranged request for its missing bytes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paris.node.errors import TransientHubError
from paris.node.hub.client import Hub, translated


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
        TransientHubError: A later try may work; the part stays.
        HubRefusedError: The Hub rejected the request permanently.
    """
    offset = part.stat().st_size if part.exists() else 0
    if offset >= wanted.num_bytes > 0:
        return
    url = hub.url(wanted.repo, wanted.path, repo_type=wanted.repo_type, revision=wanted.revision)
    with hub.stream(url, offset) as response:
        if response.status_code == 416 or (response.status_code == 206 and _range_start(response) != offset):
            part.unlink(missing_ok=True)
            raise TransientHubError(f"GET {url}: the Hub does not serve from byte {offset}; starting over.")
        keep = offset if response.status_code == 206 else 0
        # At most one byte more than signed (then the hash fails): an endless body never fills the disk.
        left = wanted.num_bytes - keep + 1
        with part.open("ab") as file, translated(f"GET {url}"):
            file.truncate(keep)
            for piece in response.iter_raw(piece_bytes):
                file.write(piece[:left])
                on_bytes(len(piece))
                left -= len(piece)
                if left <= 0:
                    break
            file.flush()
            os.fsync(file.fileno())
        if left > 1:
            raise TransientHubError(f"GET {url}: the answer ended {left - 1} bytes early.")


def _range_start(response: Any) -> int | None:
    """First byte of Content-Range; None if it is absent or malformed."""
    value = response.headers.get("Content-Range", "")
    start = value.removeprefix("bytes ").split("-")[0]
    return int(start) if start.isdigit() else None
