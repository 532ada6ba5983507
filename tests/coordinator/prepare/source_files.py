"""Small sources as files, and what becomes of their rows."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from paris.coordinator.prepare.rows.drops import Dropped
from paris.coordinator.prepare.rows.items import Item
from paris.coordinator.prepare.sources import read_source
from paris.coordinator.prepare.sources.settings import Source


def rows(source: Source) -> tuple[dict[str, str], dict[str, tuple[str, str]]]:
    """Captions of the rows, and reason and detail of the dropped ones, by row id."""
    found = list(read_source(source))
    taken = {row.row_id: row.caption for row in found if isinstance(row, Item)}
    dropped = {row.row_id: (row.reason, row.detail) for row in found if isinstance(row, Dropped)}
    assert len(taken) + len(dropped) == len(found)
    return taken, dropped


def put(folder: Path, files: dict[str, bytes | str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def tar_of(path: Path, files: dict[str, bytes | str]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def settings(source: dict[str, object], **other: object) -> dict[str, object]:
    sizes = {"num_clusters": 1, "heldout_rows": 1, "image_size": 16, "view_px": 32}
    return {"source": source, **sizes, **other}
