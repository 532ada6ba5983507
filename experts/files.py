"""Atomic file writes: under a temporary name, synced, renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paris.experts.errors import ExpertError

_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}


class DiskFullError(ExpertError, OSError):
    """The disk, the quota or the size limit of a file is exhausted; the target file is unchanged."""

    exit_code = 30
    error_code = "disk-full"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Replace a file atomically by the one that the block writes.

    Args:
        path: The file to make or replace; its folder is made if missing.

    Yields:
        A temporary name in the same folder.

    Raises:
        DiskFullError: No space; `path` is unchanged, and the temporary file removed.
        OSError: Any other error of the system; `path` is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with disk_full_while_writing(path):
            yield partial
            sync(partial)
            partial.replace(path)
            sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def disk_full_while_writing(path: Path) -> Iterator[None]:
    """Raise DiskFullError, with `path` as the file being written, in place of an OSError that says so."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        full = DiskFullError(
            f"No space left to write {path}: {error.strerror}.", "Free some space, then start the same command again."
        )
        full.errno = error.errno  # callers that handle OSError read it
        raise full from error


def write_whole(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Write bytes by `whole_file`; `mode` is the permission bits, before the umask."""
    with whole_file(path) as partial:
        partial.touch(mode)
        partial.write_bytes(data)


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file by `whole_file`; a file is not copied onto itself."""
    if target.exists() and target.samefile(source):
        return
    with whole_file(target) as partial:
        shutil.copyfile(source, partial)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file another name, in place of what has it; a copy on a file system without hard links.

    Raises:
        OSError: No space for a copy.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        copy_whole(source, target)


def sync(path: Path) -> None:
    """Fsync a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file as 64 lower-case hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
