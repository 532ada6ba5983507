"""Files appear whole or not at all: written under another name, synced, renamed."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paris.experts.errors import ExpertError

_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}


class DiskFullError(ExpertError, OSError):
    """The disk, the quota or the size limit of a file ends before the file does; nothing was put in its place."""

    exit_code = 30


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a name to write to, and put what was written there in place of `path` at the end.

    Args:
        path: The file to make or replace; its folder is made where it does not exist.

    Yields:
        A name in the same folder.

    Raises:
        DiskFullError: No space. `path` is as it was, and the part that was written is removed.
        OSError: Anything else that the system refuses; `path` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with full_disk_named(path):
            yield partial
            sync(partial)
            partial.replace(path)
            sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    """Turn the system's word for a full disk into ours.

    Args:
        path: What was being written.

    Raises:
        DiskFullError: The body ran out of space.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        full = DiskFullError(
            f"No space left to write {path}: {error.strerror}.", "Free some space, then start the same command again."
        )
        full.errno = error.errno  # so that whoever knows OSErrors alone knows this one too
        raise full from error


def write_whole(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Write bytes as a file, by `whole_file`.

    Args:
        path: The file to make or replace.
        data: Its content.
        mode: Permission bits, before the umask.
    """
    with whole_file(path) as partial:
        partial.touch(mode)
        partial.write_bytes(data)


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's list of names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file as 64 lower-case hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
