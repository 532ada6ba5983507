"""From locations to bytes, without Daft. The syntax of locations: tree.py.

Rows that no longer exist become None; a Hub that does not answer is an error, so that no row is dropped because of a
network failure.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import pyarrow.parquet as pq

from paris.coordinator.prepare.sources.hub import HubTree, is_hub_location, split_hub_location
from paris.coordinator.prepare.sources.row_groups import RowGroups
from paris.coordinator.prepare.sources.settings import HubSource

_RANGE = re.compile(r"bytes:(\d+)\+(\d+):(.*)", re.DOTALL)
_ROW = re.compile(r"row:(\d+):(\d+):([^:]*):(.*)", re.DOTALL)
_HUB_REQUESTS = 16
_row_groups = RowGroups(max_bytes=2**29)


class RowBytes:
    """Reads the bytes of rows.

    Args:
        hub: The source, if it is a Hub repo.
    """

    def __init__(self, hub: HubSource | None) -> None:
        self._hub = hub
        self._trees: dict[str, HubTree] = {}

    def read(self, places: Sequence[str]) -> list[bytes | None]:
        """The bytes at each location; None if the file, the range or the value does not exist.

        Raises:
            SourceUnreachableError: The Hub refused or did not answer.
        """
        if self._hub is None:
            return [self._one(place) for place in places]
        for place in places:
            self._know(_whole(place))
        return list(self._requests.map(self._one, places))

    def row_group(self, place: str) -> tuple[tuple[str, int], int] | None:
        """The row group of a location, and the bytes that reading any row of it takes; None for other locations.

        Raises:
            SourceUnreachableError: The Hub refused or did not answer.
        """
        in_row = _ROW.fullmatch(place)
        if in_row is None:
            return None
        group, _, column, whole = in_row.groups()
        self._know(whole)
        return (whole, int(group)), _row_groups.column_bytes(whole, int(group), column, self._open)

    def _know(self, whole: str) -> None:
        """Open the Hub's tree of a file, before threads ask for it."""
        if self._hub is not None:
            commit = split_hub_location(whole)[0]
            if commit not in self._trees:
                self._trees[commit] = HubTree(self._hub, commit)

    @cached_property
    def _requests(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_HUB_REQUESTS)

    def _one(self, place: str) -> bytes | None:
        in_row = _ROW.fullmatch(place)
        if in_row is not None:
            group, row, column, whole = in_row.groups()
            return _row_groups.value(whole, int(group), int(row), column, self._open)
        in_file = _RANGE.fullmatch(place)
        start, num_bytes = (int(in_file[1]), int(in_file[2])) if in_file is not None else (0, None)
        whole = _whole(place)
        if is_hub_location(whole):
            commit, path = split_hub_location(whole)
            return self._trees[commit].read(path, start, num_bytes)
        return _local_bytes(_local(whole), start, num_bytes)

    def _open(self, whole: str) -> pq.ParquetFile:
        if not is_hub_location(whole):
            return pq.ParquetFile(_local(whole))
        commit, path = split_hub_location(whole)
        return pq.ParquetFile(self._trees[commit].open(path))


def _whole(place: str) -> str:
    """The file of a location."""
    match = _ROW.fullmatch(place) or _RANGE.fullmatch(place)
    return place if match is None else str(match.groups()[-1])


def _local(whole: str) -> Path:
    return Path(whole.removeprefix("file://"))


def _local_bytes(path: Path, start: int, num_bytes: int | None) -> bytes | None:
    """Some bytes of a file, or all; None if it is missing or too short."""
    try:
        if num_bytes is None:
            return path.read_bytes()
        with path.open("rb") as file:
            data = os.pread(file.fileno(), num_bytes, start)
    except OSError:
        return None
    return data if len(data) == num_bytes else None
