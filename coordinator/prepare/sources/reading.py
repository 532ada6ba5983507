"""From locations to bytes, inside Daft: Daft downloads whole files, row_bytes.py reads parts of files."""

from __future__ import annotations

import pyarrow as pa

from paris.coordinator.prepare.compute.engine import daft
from paris.coordinator.prepare.sources.row_bytes import RowBytes
from paris.coordinator.prepare.sources.settings import FolderSource, HubSource, Source, TwemojiSource

_BATCH_ROWS = 64


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
        self._rows = RowBytes(hub)

    @daft.method.batch(return_dtype=daft.DataType.binary(), batch_size=_BATCH_ROWS)
    def read(self, locations: daft.Series) -> pa.Array:
        """The bytes of each row; null if the file, the range or the value does not exist.

        Raises:
            SourceUnreachableError: The Hub refused or did not answer.
        """
        return pa.array(self._rows.read(locations.to_arrow().to_pylist()), pa.binary())
