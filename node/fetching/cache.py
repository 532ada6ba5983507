"""Downloaded files by content hash, within a byte limit.

    cache/<sha256>         a whole, verified file; its mtime is when it was last used
    cache/<sha256>.part    a partial download from the Hub; kept over restarts
    cache/<sha256>.peer    the same from peers; apart, so that wrong bytes of a peer cannot spoil the other

The caches of nodes on one machine stay apart, so that none removes what another needs; a file that one has, the others
take over by a hard link.

Paths from the network never reach this folder: a name here is always 64 hex digits.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
from collections.abc import Collection
from pathlib import Path

from paris.experts.files import file_sha256
from paris.node.errors import DiskFullError

_logger = logging.getLogger(__name__)
_NAME = re.compile(r"^[0-9a-f]{64}$")
_SPARE_BYTES = 64 * 2**20
"""Left free on the disk, so that the machine stays usable."""


class Cache:
    """The cache folder.

    Args:
        path: Folder; created.
        limit_bytes: Upper bound of all files together; None: the free disk alone.
        others: Folders of further caches on the same file system, whose files are taken over.
    """

    def __init__(self, path: Path, limit_bytes: int | None = None, others: Collection[Path] = ()) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.limit_bytes = limit_bytes
        self._others = tuple(others)

    def file(self, sha256: str) -> Path:
        """Path of the file with this content, whether it exists or not.

        Raises:
            ValueError: Not a SHA-256 in hex.
        """
        if not _NAME.match(sha256):
            raise ValueError(f"{sha256!r} is not a SHA-256.")
        return self.path / sha256

    def part(self, sha256: str) -> Path:
        """Path of a partial download from the Hub."""
        return self.file(sha256).with_suffix(".part")

    def peer_part(self, sha256: str) -> Path:
        """Path of a partial download from peers."""
        return self.file(sha256).with_suffix(".peer")

    def put(self, part: Path, sha256: str) -> Path:
        """Make a complete, verified part the cached file, and remove the other source's part."""
        path = part.replace(self.file(sha256))
        for other in (self.part(sha256), self.peer_part(sha256)):
            other.unlink(missing_ok=True)
        return path

    def find(self, sha256: str, num_bytes: int) -> Path | None:
        """The cached file, after its hash is checked, or None; a damaged one is removed."""
        path = self.file(sha256)
        if not path.exists() and not self._take_over(path):
            return None
        if path.stat().st_size != num_bytes or file_sha256(path) != sha256:
            _logger.info("Removing %s: it is damaged.", path.name)
            path.unlink()
            return None
        os.utime(path)
        return path

    def _take_over(self, path: Path) -> bool:
        """Whether another cache has the file: then it has a second name here."""
        for folder in self._others:
            with contextlib.suppress(OSError):  # it has none, or removes it now, or links are not possible
                os.link(folder / path.name, path)
                return True
        return path.exists()

    def make_room(self, num_bytes: int, keep: Collection[str]) -> None:
        """Remove the least recently used files until `num_bytes` more fit.

        Where the disk is full, files that other caches have too go last: they free room only once no cache has them.

        Args:
            num_bytes: Bytes about to arrive.
            keep: Hashes of files that must stay.

        Raises:
            DiskFullError: They do not fit even then; no file of `keep` was removed.
        """
        files = self._oldest_first(keep)
        if self._missing_on_disk(num_bytes) > 0 >= self._missing_in_limit(num_bytes):
            files.sort(key=_has_other_names)
        for path in files:
            if self._missing_bytes(num_bytes) <= 0:
                return
            _logger.info("Removing %s to make room.", path.name)
            path.unlink(missing_ok=True)
        missing = self._missing_bytes(num_bytes)
        if missing > 0:
            raise DiskFullError(
                f"{num_bytes} more bytes of data do not fit in {self.path}: {missing} bytes are missing.",
                "Free some space or raise cache_limit_bytes, and run the same command again.",
            )

    def num_bytes(self) -> int:
        """Bytes of everything in the folder."""
        return sum(path.stat().st_size for path in self.path.iterdir() if path.is_file())

    def _missing_bytes(self, num_bytes: int) -> int:
        return max(self._missing_on_disk(num_bytes), self._missing_in_limit(num_bytes))

    def _missing_on_disk(self, num_bytes: int) -> int:
        return num_bytes + _SPARE_BYTES - shutil.disk_usage(self.path).free

    def _missing_in_limit(self, num_bytes: int) -> int:
        return -1 if self.limit_bytes is None else self.num_bytes() + num_bytes - self.limit_bytes

    def _oldest_first(self, keep: Collection[str]) -> list[Path]:
        files = [path for path in self.path.iterdir() if path.is_file() and path.stem not in keep]
        return sorted(files, key=lambda path: path.stat().st_mtime)


def _has_other_names(path: Path) -> bool:
    return path.stat().st_nlink > 1
