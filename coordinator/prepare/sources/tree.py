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
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from paris.coordinator.prepare.compute.pictures import MISSING
from paris.coordinator.prepare.errors import SourceMissingError
from paris.coordinator.prepare.rows.drops import Dropped
from paris.coordinator.prepare.sources.policy import NOT_A_PICTURE, OF_A_RUN, excluded

LINK = "link to a folder that is listed already"
NO_ACCESS = "folder or file that cannot be opened"


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

    def files(self) -> Iterator[SourceFile | Dropped]:
        """All files, in any order, without opening them; as dropped, if they are no part of any data."""

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

    def files(self) -> Iterator[SourceFile | Dropped]:
        """As `Tree.files`. Links to folders are followed, to each folder once, after all folders that are no links."""
        if self._only is not None:
            yield SourceFile(self._only, _version((self._root / self._only).stat()))
            return
        walked: set[tuple[int, int]] = set()
        links = yield from self._walk("", walked)
        while links:
            ahead = []
            for link in sorted(links):
                if _identity(self._root / link) in walked:
                    yield Dropped(link, LINK)
                else:
                    ahead += yield from self._walk(f"{link}/", walked)
            links = ahead

    def _walk(self, top: str, walked: set[tuple[int, int]]) -> Generator[SourceFile | Dropped, None, list[str]]:
        """The files below a folder; returns its links to folders."""
        folders, links = [top], []
        while folders:
            inside = folders.pop()
            walked.add(_identity(self._root / inside))
            try:
                entries = sorted(os.scandir(self._root / inside), key=lambda entry: entry.name)
            except OSError as error:
                yield Dropped(inside, NO_ACCESS, error.strerror or "")
                continue
            if _is_of_a_run(self._root / inside):
                yield Dropped(inside, OF_A_RUN)
                continue
            for entry in entries:
                path = inside + entry.name
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{path}/")
                elif entry.is_dir():
                    links.append(path)
                elif included(path, self._include):
                    yield excluded(path) or self._file(path, entry)
        return links

    def _file(self, path: str, entry: os.DirEntry[str]) -> SourceFile | Dropped:
        try:
            state = entry.stat()
        except OSError as error:
            return Dropped(path, MISSING if entry.is_symlink() else NO_ACCESS, error.strerror or "")
        if not entry.is_file():
            return Dropped(path, NOT_A_PICTURE, "a device or a pipe")
        return SourceFile(path, _version(state))

    def open(self, path: str) -> BinaryIO:
        """As `Tree.open`."""
        return (self._root / path).open("rb")

    def location(self, path: str) -> str:
        """As `Tree.location`."""
        return f"file://{self._root / path}"


def _version(state: os.stat_result) -> str:
    return f"{state.st_size}:{state.st_mtime_ns}"


def _is_of_a_run(folder: Path) -> bool:
    """Whether a folder is a run directory or a demo's: its pictures are made of a run's data, not the data itself.

    A demo has its volunteers beside its run; pictures with a run beside them may be those that the run is made from.
    """
    return _is_run(folder) or (_is_run(folder / "run") and (folder / "volunteers").is_dir())


def _is_run(folder: Path) -> bool:
    return (folder / "run.toml").is_file() and (folder / "keys").is_dir()


def _identity(folder: Path) -> tuple[int, int]:
    state = folder.stat()
    return state.st_dev, state.st_ino


def included(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether a path matches one of the patterns, or there are none."""
    return not patterns or any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def range_location(whole: str, offset: int, num_bytes: int) -> str:
    """The location of some bytes of a file."""
    return f"bytes:{offset}+{num_bytes}:{whole}"


def row_location(whole: str, row_group: int, row: int, column: str) -> str:
    """The location of one value of a Parquet file; the column's name must not contain a colon."""
    return f"row:{row_group}:{row}:{column}:{whole}"
