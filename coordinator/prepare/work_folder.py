"""Work in progress, from which a killed preparation resumes.

<out>/.prepare/lock                held by the process that prepares
<out>/.prepare/key                 digest of the settings and the source that the files belong to
<out>/.prepare/items.arrow         the rows of the source
<out>/.prepare/dropped.arrows      the rows that are left out
<out>/.prepare/embedding-<key>/    features, part by part
<out>/.prepare/captions-<key>/     captions of the captioner, part by part
<out>/.prepare/encoded/            contents of the shards, part by part
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from paris.coordinator.prepare.config import PrepareConfig
from paris.coordinator.prepare.errors import OutputTakenError
from paris.coordinator.prepare.rows.drops import DROPPED
from paris.experts.files import write_whole
from paris.protocol.canonical import canonical_bytes, digest
from paris.protocol.locks import try_lock

_OUTPUT_FOLDERS = ("shards", "heldout", "manifests")
_OUTPUT_FILES = (
    *(DROPPED, "vocab.json", "attribution.parquet", "README.md"),
    *("clusters.json", "clusters.png", "clusters.html"),
)


class WorkFolder:
    """The folder `.prepare` of an output folder.

    Args:
        out_dir: The output folder.
    """

    def __init__(self, out_dir: Path) -> None:
        self._out_dir = out_dir
        self.path = out_dir / ".prepare"
        self.items = self.path / "items.arrow"
        self.dropped = self.path / "dropped.arrows"
        self.encoded = self.path / "encoded"

    def embedding(self, source_key: str, config: PrepareConfig) -> Path:
        """Folder of the features; another one if the items or a setting that decides the features change.

        Args:
            source_key: Digest of the items.
            config: The settings.
        """
        names = {"embedder", "view_px", "min_side_px", "max_image_pixels", "max_aspect"}
        settings = config.model_dump(mode="json", include=names)
        key = digest(canonical_bytes([source_key, settings, config.near_duplicate_bits is not None]))[:16]
        return self.path / f"embedding-{key}"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and hold its lock; the system releases the lock of a killed process.

        Raises:
            OutputTakenError: Another process holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = try_lock(self.path / "lock")
        if lock is None:
            raise OutputTakenError(
                f"Another process prepares into {self._out_dir}.", "Wait for it, or give another folder."
            )
        with lock:
            yield

    def claim(self, work_key: str) -> None:
        """Keep the unfinished work of this key; delete that of another one.

        Args:
            work_key: Digest of the settings, the source and the way of decoding.

        Raises:
            OutputTakenError: The output folder contains files of another origin, which stay.
        """
        key_file = self.path / "key"
        if key_file.is_file() and key_file.read_text("ascii", "replace") == work_key:
            return
        if not key_file.is_file() and any(
            (self._out_dir / name).exists() for name in (*_OUTPUT_FOLDERS, *_OUTPUT_FILES)
        ):
            raise OutputTakenError(
                f"{self._out_dir} contains files that prepare did not write.", "Give an empty folder."
            )
        for folder in (*(self._out_dir / name for name in _OUTPUT_FOLDERS), self.encoded):
            shutil.rmtree(folder, ignore_errors=True)
        for name in _OUTPUT_FILES:
            (self._out_dir / name).unlink(missing_ok=True)
        write_whole(key_file, work_key.encode("ascii"))
