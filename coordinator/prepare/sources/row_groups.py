"""Single values of Parquet files: only whole row groups can be read, so the latest are cached.

One cache for all threads of a process: they read neighbouring rows, and each row group is to be read once.
"""

from __future__ import annotations

import errno
import threading
from collections import OrderedDict
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from paris.coordinator.prepare.errors import PrepareError
from paris.experts.data.shards import UNREADABLE_PARQUET

_OPEN_FILES = 16


class RowGroups:
    """A bounded cache of row groups' image columns.

    Args:
        max_bytes: Size of the cache; the latest two row groups are always kept, because threads work on both sides of
            the boundary between them.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._files: OrderedDict[str, pq.ParquetFile] = OrderedDict()
        self._kept: OrderedDict[tuple[str, int, str], pa.ChunkedArray] = OrderedDict()

    def value(
        self, whole: str, group: int, row: int, column: str, open_file: Callable[[str], pq.ParquetFile]
    ) -> bytes | None:
        """One picture's bytes; None if the file, the row or the bytes do not exist.

        Args:
            whole: The file's location.
            group: Row group.
            row: Place in the row group.
            column: Binary, or a struct with a field `bytes`.
            open_file: Called if the file is not open yet.

        Raises:
            PrepareError: From `open_file`.
        """
        try:
            with self._lock:
                values = self._column((whole, group, column), open_file)
        except PrepareError:  # the Hub does not answer, which is a ConnectionError and so an OSError
            raise
        except UNREADABLE_PARQUET as error:
            if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT):
                raise
            return None  # gone or damaged since it was listed; pyarrow's own OSError has no number
        value = values[row].as_py() if row < len(values) else None
        return value if isinstance(value, bytes) else None

    def column_bytes(self, whole: str, group: int, column: str, open_file: Callable[[str], pq.ParquetFile]) -> int:
        """Compressed bytes that reading one value of a row group takes; arguments as of `value`."""
        with self._lock:
            parts = self._file(whole, open_file).metadata.row_group(group)
        chunks = (parts.column(place) for place in range(parts.num_columns))
        return sum(chunk.total_compressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] == column)

    def _file(self, whole: str, open_file: Callable[[str], pq.ParquetFile]) -> pq.ParquetFile:
        if whole not in self._files:
            self._files[whole] = open_file(whole)
        self._files.move_to_end(whole)
        return self._files[whole]

    def _column(self, key: tuple[str, int, str], open_file: Callable[[str], pq.ParquetFile]) -> pa.ChunkedArray:
        if key not in self._kept:
            whole, group, column = key
            values = self._file(whole, open_file).read_row_group(group, columns=[column]).column(0)
            self._kept[key] = pc.struct_field(values, "bytes") if pa.types.is_struct(values.type) else values
            self._shrink()
        self._kept.move_to_end(key)
        self._files.move_to_end(key[0])
        return self._kept[key]

    def _shrink(self) -> None:
        while len(self._kept) > 2 and sum(values.nbytes for values in self._kept.values()) > self._max_bytes:
            self._kept.popitem(last=False)
        while len(self._files) > _OPEN_FILES:
            self._files.popitem(last=False)
