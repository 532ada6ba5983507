"""The rows that are dropped: counted by reason, and listed for `paris-coord dropped`.

dropped.parquet    row_id, reason, detail        in the data folder; never published
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from paris.coordinator.prepare.errors import NotPreparedError
from paris.experts.files import disk_full_while_writing, whole_file

DROPPED = "dropped.parquet"
_SCHEMA = pa.schema([("row_id", pa.string()), ("reason", pa.string()), ("detail", pa.string())])
_BATCH_ROWS = 16384
_MAX_DETAIL_CHARS = 500


@dataclass(frozen=True)
class Dropped:
    """One row that is dropped."""

    row_id: str
    reason: str
    """One of few short texts, by which rows are counted."""
    detail: str = ""
    """Details of this row: its size, its licence, the row that it duplicates."""


class DropList:
    """The dropped rows, spooled to disk during a preparation. A context manager that deletes the spool file.

    Args:
        spool: The spool file; one left by a killed preparation is overwritten.

    Raises:
        DiskFullError: No room, also from `add`.
    """

    def __init__(self, spool: Path) -> None:
        self.counts: Counter[str] = Counter()
        self.first: dict[str, Dropped] = {}
        self._path = spool
        self._waiting: list[Dropped] = []
        with disk_full_while_writing(spool):
            self._sink = pa.OSFile(str(spool), "wb")
            self._writer = pa.ipc.new_stream(self._sink, _SCHEMA)

    def __enter__(self) -> DropList:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sink.close()
        self._path.unlink(missing_ok=True)

    def add(self, dropped: Dropped) -> None:
        """Count and list one row."""
        dropped = Dropped(_printable(dropped.row_id), dropped.reason, _printable(dropped.detail)[:_MAX_DETAIL_CHARS])
        self.counts[dropped.reason] += 1
        self.first.setdefault(dropped.reason, dropped)
        self._waiting.append(dropped)
        if len(self._waiting) >= _BATCH_ROWS:
            self._flush()

    def publish(self, path: Path) -> None:
        """Write the list as a Parquet file; `add` must not be called afterwards."""
        self._flush()
        with disk_full_while_writing(self._path):
            self._writer.close()
            self._sink.flush()
        with (
            whole_file(path) as partial,
            pa.OSFile(str(self._path), "rb") as file,
            pa.ipc.open_stream(file) as batches,
            pq.ParquetWriter(partial, _SCHEMA, compression="zstd") as writer,
        ):
            for batch in batches:
                writer.write_batch(batch)

    def by_reason(self) -> dict[str, int]:
        """Number of rows of each reason, sorted by reason."""
        return dict(sorted(self.counts.items()))

    def summary(self) -> str:
        """The counts in words: "3 no caption, 1 too small"."""
        return ", ".join(f"{count} {reason}" for reason, count in self.by_reason().items())

    def _flush(self) -> None:
        rows = [[row.row_id for row in self._waiting], [row.reason for row in self._waiting]]
        columns = [*rows, [row.detail for row in self._waiting]]
        self._waiting = []
        with disk_full_while_writing(self._path):
            self._writer.write_batch(pa.record_batch([pa.array(c, pa.string()) for c in columns], schema=_SCHEMA))


def _printable(text: str) -> str:
    """A text that can be stored as UTF-8: names and details quote bytes that are not."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def read_dropped(folder: Path, reason: str | None = None) -> Iterator[Dropped]:
    """The rows that a finished preparation dropped.

    Args:
        folder: The data folder.
        reason: Only rows of this reason; None: all.

    Raises:
        NotPreparedError: The folder has no list of dropped rows.
    """
    path = folder / DROPPED
    if not path.is_file():
        raise NotPreparedError(f"{folder} contains no list of dropped rows.", "Run paris-coord prepare.")
    for batch in pq.ParquetFile(path).iter_batches():
        for row in batch.to_pylist():
            if reason in (None, row["reason"]):
                yield Dropped(**row)
