"""The files of a source: `Tree`, for a folder of this machine here and for a Hub repo in hub.py.

A location identifies a row's bytes in one string, so that the rest of prepare needs one column for all kinds of source:

    file:///srv/a.png                             a whole file
    bytes:512+10240:file:///srv/a.tar             10240 bytes from byte 512 on
    row:3:17:image:file:///srv/a.parquet          row 17 of row group 3, column image (its field `bytes`, if a struct)
    hub:data/a.png                                as above, in the source's repo at its commit: no `file://` path
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from paris.coordinator.prepare.errors import SourceFormatError, SourceMissingError


@dataclass(frozen=True)
class SourceFile:
    """One file of a source."""

    path: str
    """Relative to the source, with slashes."""
    version: str
    """Changes when the file does: size and time, or the commit."""


class Tree(Protocol):
    """The files of a source."""

    name: str
    """Name in messages."""

    def files(self) -> Iterator[SourceFile]:
        """All files, in any order, without opening them."""

    def open(self, path: str) -> BinaryIO:
        """Open one file for seekable reading; the caller closes it."""

    def location(self, path: str) -> str:
        """The location of a whole file."""


class FolderTree:
    """A folder of this machine, or a single file.

    Args:
        path: Folder or file.
        include: Shell patterns of the files to read; empty: all.

    Raises:
        SourceMissingError: There is nothing at the path.
    """

    def __init__(self, path: Path, include: tuple[str, ...] = ()) -> None:
        self.name = str(path)
        self._include = include
        found = path.expanduser().resolve()
        if not found.exists():
            raise SourceMissingError(f"There is no folder {path}.", "Check the source's path.")
        self._only = found.name if found.is_file() else None
        self._root = found.parent if found.is_file() else found

    def files(self) -> Iterator[SourceFile]:
        """As `Tree.files`; symbolic links to folders are not followed.

        Raises:
            SourceFormatError: A file's name is not UTF-8.
        """
        if self._only is not None:
            yield self._file(self._only, (self._root / self._only).stat())
            return
        folders = [""]
        while folders:
            inside = folders.pop()
            with os.scandir(self._root / inside) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(f"{inside}{entry.name}/")
                    elif included(inside + entry.name, self._include) and entry.is_file():
                        yield self._file(inside + entry.name, entry.stat())

    def _file(self, path: str, state: os.stat_result) -> SourceFile:
        try:
            path.encode("utf-8")
        except UnicodeEncodeError as error:
            raise SourceFormatError(
                f"The file name {os.fsencode(path)!r} in {self.name} is not UTF-8.", "Rename it."
            ) from error
        return SourceFile(path, f"{state.st_size}:{state.st_mtime_ns}")

    def open(self, path: str) -> BinaryIO:
        """As `Tree.open`."""
        return (self._root / path).open("rb")

    def location(self, path: str) -> str:
        """As `Tree.location`."""
        return f"file://{self._root / path}"


def included(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether a path matches one of the patterns, or there are none."""
    return not patterns or any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def range_location(whole: str, offset: int, num_bytes: int) -> str:
    """The location of some bytes of a file."""
    return f"bytes:{offset}+{num_bytes}:{whole}"


def row_location(whole: str, row_group: int, row: int, column: str) -> str:
    """The location of one value of a Parquet file; the column's name must not contain a colon."""
    return f"row:{row_group}:{row}:{column}:{whole}"
