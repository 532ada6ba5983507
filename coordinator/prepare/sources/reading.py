"""From locations to bytes, inside Daft: Daft downloads whole files, `ReadRows` reads parts of files.

Rows that no longer exist become nulls; a Hub that does not answer stops the query, so that no row is dropped because
of a network failure.
"""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from paris.coordinator.prepare.compute.engine import daft
from paris.coordinator.prepare.sources.hub import HubTree, is_hub_location, split_hub_location
from paris.coordinator.prepare.sources.row_groups import RowGroups
from paris.coordinator.prepare.sources.settings import FolderSource, HubSource, Source, TwemojiSource

_RANGE = re.compile(r"bytes:(\d+)\+(\d+):(.*)", re.DOTALL)
_ROW = re.compile(r"row:(\d+):(\d+):([^:]*):(.*)", re.DOTALL)
_BATCH_ROWS = 64
_HUB_REQUESTS = 16
_row_groups = RowGroups(max_bytes=2**29)


def with_bytes(frame: daft.DataFrame, source: Source) -> daft.DataFrame:
    """Add the column `data`: the bytes at `location`, or null."""
    if isinstance(source, TwemojiSource | FolderSource):
        return frame.with_column("data", frame["location"].download(on_error="null"))
    read = daft.cls(use_process=False)(ReadRows)(source if isinstance(source, HubSource) else None)
    return frame.with_column("data", read.read(frame["location"]))


class ReadRows:
    """Locations to bytes.

    Args:
        hub: The source, if it is a Hub repo.
    """

    def __init__(self, hub: HubSource | None) -> None:
        self._hub = hub
        self._trees: dict[str, HubTree] = {}

    @daft.method.batch(return_dtype=daft.DataType.binary(), batch_size=_BATCH_ROWS)
    def read(self, locations: daft.Series) -> pa.Array:
        """The bytes of each row; null if the file, the range or the value does not exist.

        Raises:
            SourceUnreachableError: The Hub refused or did not answer.
        """
        places = locations.to_arrow().to_pylist()
        if self._hub is None:
            return pa.array([self._one(place) for place in places], pa.binary())
        for commit in {split_hub_location(_whole(place))[0] for place in places}:
            self._trees.setdefault(commit, HubTree(self._hub, commit))
        return pa.array(list(self._requests.map(self._one, places)), pa.binary())

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
        return _local_bytes(_local(whole), start, num_bytes or 0)

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


def _local_bytes(path: Path, start: int, num_bytes: int) -> bytes | None:
    """Some bytes of a file; None if it is missing or too short."""
    try:
        with path.open("rb") as file:
            data = os.pread(file.fileno(), num_bytes, start)
    except OSError:
        return None
    return data if len(data) == num_bytes else None
