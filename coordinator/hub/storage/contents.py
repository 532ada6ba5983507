"""Folders in memory, for commits that follow each other: the next state shares the rows of the one before.

A state is copied and changed by operations of the interpreter's own containers, about 50 ns a row; reading it from the
database, sorting and formatting it takes about 10 us a row.
"""

from __future__ import annotations

import sqlite3
import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from paris.coordinator.hub.storage.folders import Row, read_folder

_CACHED_ROWS = 100_000
"""Of all folders together; about 60 MB."""
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Contents:
    """All rows of one folder. Never changed; a sha1 names the same contents in every repository."""

    rows: dict[str, Row] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    """Name of each folder below -> sha1 of its tree."""
    keys: list[str] = field(default_factory=list)
    """Names in git's order, in which a folder's ends with a slash."""
    lines: list[bytes] = field(default_factory=list)
    """The git tree's entry of each key."""

    def git(self) -> bytes:
        """The git tree."""
        return b"".join(self.lines)

    def with_rows(self, changes: Mapping[str, Row | None]) -> Contents:
        """The folder after changes: a new row for each name, None to remove it."""
        after = Contents(self.rows.copy(), self.folders.copy(), self.keys.copy(), self.lines.copy())
        for name, row in changes.items():
            after._remove(name)
            if row is not None:
                after._add(row)
        return after

    def _remove(self, name: str) -> None:
        row = self.rows.pop(name, None)
        if row is not None:
            self.folders.pop(name, None)
            index = bisect_left(self.keys, _key(row))
            del self.keys[index], self.lines[index]

    def _add(self, row: Row) -> None:
        self.rows[row[0]] = row
        if len(row) == 2:
            self.folders[row[0]] = row[1]
        key = _key(row)
        index = bisect_left(self.keys, key)
        self.keys.insert(index, key)
        self.lines.insert(index, _line(row))


def _key(row: Row) -> str:
    return str(row[0]) + ("" if len(row) > 2 else "/")


def _line(row: Row) -> bytes:
    mode = b"100644" if len(row) > 2 else b"40000"
    return b"%s %s\0%s" % (mode, row[0].encode(), bytes.fromhex(row[1]))


def _contents_of(rows: dict[str, Row]) -> Contents:
    ordered = sorted(rows.values(), key=_key)
    folders = {row[0]: row[1] for row in ordered if len(row) == 2}
    return Contents(rows, folders, [_key(row) for row in ordered], [_line(row) for row in ordered])


class LatestStates(Generic[S]):
    """The latest states by sha1, up to a number of rows together. A sha1 determines a state: none becomes stale."""

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._num_rows = 0
        self._lock = threading.Lock()
        self._states: OrderedDict[str, tuple[S, int]] = OrderedDict()

    def get(self, oid: str) -> S | None:
        """The state, None if it is not kept."""
        with self._lock:
            if oid not in self._states:
                return None
            self._states.move_to_end(oid)
            return self._states[oid][0]

    def put(self, oid: str, state: S, num_rows: int) -> None:
        """Keep a state; those used longest ago make room."""
        with self._lock:
            if oid in self._states:
                return
            self._states[oid] = state, num_rows
            self._num_rows += num_rows
            while self._num_rows > self._max_rows:
                self._num_rows -= self._states.popitem(last=False)[1][1]


_latest: LatestStates[Contents] = LatestStates(_CACHED_ROWS)


def keep_contents(oid: str, contents: Contents) -> None:
    """Keep the contents of a folder that was just written."""
    _latest.put(oid, contents, len(contents.rows))


def read_contents(db: sqlite3.Connection, repo_id: int, oid: str | None) -> Contents:
    """The contents of a folder; empty for None."""
    if oid is None:
        return Contents()
    contents = _latest.get(oid)
    if contents is None:
        contents = _contents_of(read_folder(db, repo_id, oid).rows)
        keep_contents(oid, contents)
    return contents
