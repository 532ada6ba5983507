"""The first rows of a Parquet file as JSON; run as a process of its own, which a hostile file may end.

Started by its path, not as a module: then it imports pyarrow and Pillow alone. The system bounds its memory and time,
so no size in the file needs to be believed. It reads the footer, and of the first row group the pages with the first
rows.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import resource
import signal
import sys
from typing import Any

_CPU_S = 10
_WALL_S = 30
_ROWS_SHOWN = 10
_COLUMNS_SHOWN = 20
_SCHEMA_SHOWN = 200
_MAX_CELL_CHARS = 200
_ITEMS_SHOWN = 8
_READ_BYTES = 64 * 1024
_MAX_PICTURE_BYTES = 4 * 1024**2
_MAX_PICTURE_PX = 16 * 1024**2
_THUMBNAIL_PX = 96
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")


def _bound(memory_bytes: int) -> None:
    for what, most in ((resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_CPU, _CPU_S), (resource.RLIMIT_CORE, 0)):
        with contextlib.suppress(ValueError, OSError):  # macOS takes no bound on the address space
            resource.setrlimit(what, (most, most))
    signal.alarm(_WALL_S)


def preview(path: str) -> dict[str, Any]:
    """Columns and first rows.

    Args:
        path: A local file.

    Returns:
        `num_rows`, `num_row_groups`, `columns` with names and types, `rows` of cells: a text or a picture's data URL,
        and `problem`, why there are no rows.

    Raises:
        Exception: It is no readable Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_cpu_count(1)
    file = pq.ParquetFile(path, buffer_size=_READ_BYTES, pre_buffer=False)
    schema = file.schema_arrow
    found: dict[str, Any] = {
        "num_rows": file.metadata.num_rows,
        "num_columns": len(schema.names),
        "num_row_groups": file.metadata.num_row_groups,
        "columns": [
            [field.name[:_MAX_CELL_CHARS], str(field.type)[:_MAX_CELL_CHARS]] for field in list(schema)[:_SCHEMA_SHOWN]
        ],
        "rows": [],
        "problem": "",
    }
    try:
        if file.metadata.num_row_groups:
            found["rows"] = _rows(file, schema.names[:_COLUMNS_SHOWN])
    except Exception as error:  # of any kind that a damaged file causes; the schema is shown alone
        found["problem"] = _reason(error)
    return found


def _rows(file: Any, names: list[str]) -> list[list[dict[str, str]]]:
    batches = file.iter_batches(batch_size=_ROWS_SHOWN, row_groups=[0], columns=names, use_threads=False)
    batch = next(batches, None)
    if batch is None:
        return []
    columns = [column.to_pylist() for column in batch.slice(0, _ROWS_SHOWN).columns]
    return [[_cell(value) for value in row] for row in zip(*columns, strict=True)]


def _cell(value: Any) -> dict[str, str]:
    data = value.get("bytes") if isinstance(value, dict) else value
    if isinstance(data, bytes):
        picture = _thumbnail(data)
        return {"picture": picture} if picture else {"text": f"{len(data)} bytes"}
    return {"text": _text(value)}


def _text(value: Any) -> str:
    if isinstance(value, list) and len(value) > _ITEMS_SHOWN:
        return f"{_text(value[:_ITEMS_SHOWN])[:-1]}, ...] of {len(value)}"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, list):
        return f"[{', '.join(_text(item) for item in value)}]"[:_MAX_CELL_CHARS]
    text = str(value)
    return text if len(text) <= _MAX_CELL_CHARS else f"{text[:_MAX_CELL_CHARS]}..."


def _thumbnail(data: bytes) -> str:
    """A small picture as a data URL; empty for bytes that are none of a kind shown."""
    from PIL import Image

    if len(data) > _MAX_PICTURE_BYTES:
        return ""
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            if picture.width * picture.height > _MAX_PICTURE_PX:
                return ""
            picture.draft("RGB", (_THUMBNAIL_PX, _THUMBNAIL_PX))
            small = picture.convert("RGB")
            small.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
            file = io.BytesIO()
            small.save(file, "JPEG", quality=80)
    except Exception:  # whatever a decoder says of bytes that are no picture
        return ""
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:_MAX_CELL_CHARS]}"


def main(path: str, memory_bytes: int) -> int:
    """Write the preview, or the reason why there is none, to stdout."""
    _bound(memory_bytes)
    try:
        answer = preview(path)
    except Exception as error:
        answer = {"problem": _reason(error)}
    sys.stdout.write(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
