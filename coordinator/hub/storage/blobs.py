"""Contents as files named by their sha256.

blobs/3f/3f79bb...         a content, complete and checked
incoming/<random>          an upload in progress; deleted at every start
parts/<user>-<sha256>      an upload in parts, each written at its offset; kept over restarts for a day
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from paris.coordinator.hub.errors import bad_request

_COPY_BYTES = 1024**2


class BlobStore:
    """The contents below one folder.

    Args:
        root: Folder of `blobs/`, `incoming/` and `parts/`; made if missing.
    """

    def __init__(self, root: Path) -> None:
        self._blobs = root / "blobs"
        self._incoming = root / "incoming"
        self._parts = root / "parts"
        for folder in (self._blobs, self._incoming, self._parts):
            folder.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """The path of a content, present or not. The caller has checked that the name is 64 hex digits."""
        return self._blobs / sha256[:2] / sha256

    def size_bytes(self, sha256: str) -> int | None:
        """Bytes of a content; None if it is absent."""
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def read(self, sha256: str) -> bytes:
        """The bytes of a small content."""
        return self.path(sha256).read_bytes()

    def incoming(self) -> Incoming:
        """Begin to receive a content."""
        return Incoming(self, self._incoming / secrets.token_hex(16))

    def put(self, data: bytes) -> str:
        """Store a small content; return its sha256."""
        sha256 = hashlib.sha256(data).hexdigest()
        if self.size_bytes(sha256) is None:
            incoming = self.incoming()
            try:
                incoming.write([data])
                incoming.finish(sha256, len(data))
            finally:
                incoming.discard()
        return sha256

    def open_unnamed(self) -> BinaryIO:
        """An empty file that the system deletes when it is closed."""
        return tempfile.TemporaryFile(dir=self._incoming)

    def free_bytes(self) -> int:
        """Bytes left on the disk."""
        return shutil.disk_usage(self._blobs).free

    def parts_bytes(self, user: str) -> int:
        """Bytes of a user's unfinished uploads in parts, including the bytes that are still to come."""
        return sum(file.stat().st_size for file in self._parts.glob(f"{user}-*"))

    def reserve_parts(self, user: str, sha256: str, size_bytes: int) -> None:
        """Make the file of a content's parts in its final size, without using disk space."""
        with self.part_file(user, sha256).open("ab") as file:
            file.truncate(size_bytes)

    def part_file(self, user: str, sha256: str) -> Path:
        """The file of a content's parts; one for each user, so that no user can corrupt another's upload."""
        return self._parts / f"{user}-{sha256}"

    def part(self, user: str, sha256: str, *, offset: int) -> Part:
        """Begin to receive the part of a content that starts at an offset."""
        return Part(self.part_file(user, sha256), offset)

    def join_parts(self, user: str, sha256: str, size_bytes: int) -> None:
        """Check a content that was uploaded in parts, and store it.

        Raises:
            Refusal: 400, the parts do not match the announced size and sha256, and are deleted.
        """
        part_file = self.part_file(user, sha256)
        if not part_file.exists():
            # A client that did not receive the first response sends the request again.
            if self.size_bytes(sha256) == size_bytes:
                return
            raise bad_request("No part of this object was received.")
        digest = hashlib.sha256()
        with part_file.open("rb") as file:
            while chunk := file.read(_COPY_BYTES):
                digest.update(chunk)
            os.fsync(file.fileno())
            arrived_bytes = file.tell()
        if digest.hexdigest() != sha256 or arrived_bytes != size_bytes:
            part_file.unlink()
            raise bad_request(
                f"The parts ({arrived_bytes} bytes) do not match the object {sha256} of {size_bytes} bytes."
            )
        self.adopt(part_file, sha256)

    def adopt(self, file: Path, sha256: str) -> None:
        """Move a checked, synced file to the path of its content."""
        target = self.path(sha256)
        target.parent.mkdir(exist_ok=True)
        file.replace(target)
        _sync_folder(target.parent)

    def delete(self, sha256: str) -> int:
        """Delete a content that nothing refers to; return the bytes freed."""
        size = self.size_bytes(sha256) or 0
        self.path(sha256).unlink(missing_ok=True)
        return size

    def sweep(self, older_than_s: float) -> int:
        """Delete the leftovers of a killed server: all of `incoming/`, and parts not written for `older_than_s`.

        Must not be called during uploads.

        Returns:
            Number of deleted files.
        """
        swept = list(self._incoming.iterdir())
        for file in swept:
            file.unlink()
        return len(swept) + self.sweep_parts(older_than_s)

    def sweep_parts(self, older_than_s: float) -> int:
        """Delete parts not written for `older_than_s`; return their number."""
        oldest = time.time() - older_than_s
        swept = [file for file in self._parts.iterdir() if file.stat().st_mtime < oldest]
        for file in swept:
            file.unlink(missing_ok=True)
        return len(swept)

    def older_than(self, age_s: float) -> list[str]:
        """Contents that were stored more than `age_s` ago."""
        oldest = time.time() - age_s
        return [file.name for file in self._blobs.glob("??/*") if file.stat().st_mtime < oldest]


class Incoming:
    """An upload in progress: hashed as it streams, renamed into place only if size and sha256 are right."""

    def __init__(self, store: BlobStore, path: Path) -> None:
        self._store = store
        self._path = path
        self._file = path.open("xb")
        self._digest = hashlib.sha256()
        self.num_bytes = 0

    def write(self, chunks: Iterable[bytes]) -> None:
        """Append bytes."""
        for chunk in chunks:
            self._file.write(chunk)
            self._digest.update(chunk)
            self.num_bytes += len(chunk)

    def finish(self, sha256: str, size_bytes: int) -> None:
        """Check and store the content.

        Raises:
            Refusal: 400, size or sha256 differ; nothing is stored.
        """
        if self.num_bytes != size_bytes or self._digest.hexdigest() != sha256:
            raise bad_request(f"Got {self.num_bytes} bytes with sha256 {self._digest.hexdigest()}, not {sha256}.")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._store.adopt(self._path, sha256)

    def discard(self) -> None:
        """Delete an unfinished upload; no-op after `finish`."""
        self._file.close()
        self._path.unlink(missing_ok=True)


class Part:
    """A part of an upload in progress, written at its offset."""

    def __init__(self, path: Path, offset: int) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        self._offset = offset
        self.num_bytes = 0

    def write(self, chunks: Iterable[bytes]) -> None:
        """Append bytes."""
        for chunk in chunks:
            rest = memoryview(chunk)
            while rest:
                num_bytes = os.pwrite(self._descriptor, rest, self._offset + self.num_bytes)
                self.num_bytes += num_bytes
                rest = rest[num_bytes:]

    def close(self) -> None:
        """Close the file; it keeps what was written."""
        os.close(self._descriptor)


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
