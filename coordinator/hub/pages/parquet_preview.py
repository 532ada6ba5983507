"""Columns and first rows of a Parquet file, read by a process of its own (parquet_child.py).

Parquet readers are written in C++ and decode what strangers compressed. A file that makes one crash, or take more
memory or time than a preview may, ends that process and not the Hub.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import OrderedDict
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

_CHILD = Path(__file__).with_name("parquet_child.py")
_MEMORY_BYTES = 1024**3
"""Of the process's address space, of which its libraries take less than 300 MiB."""
_TIMEOUT_S = 60
_WAIT_S = 5
_KEPT = 16
_TOO_MUCH = "It takes more time or memory than a preview may."
_BUSY = "Another file is being read; load the page again."


class Cell(BaseModel):
    """One value: a text, or a picture as a data URL."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    text: str = ""
    picture: str = ""


class Preview(BaseModel):
    """What is shown of a Parquet file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    num_rows: int = 0
    num_columns: int = 0
    num_row_groups: int = 0
    columns: tuple[tuple[str, str], ...] = ()
    """Names and types; the first ones of very many."""
    rows: tuple[tuple[Cell, ...], ...] = ()
    """Cells of the first rows, of the first columns."""
    problem: str = ""
    """Why there are no rows; without columns, why there is nothing."""


class Previews:
    """Makes previews, one at a time, and keeps the last ones.

    Args:
        memory_bytes: Bound of the process that reads the file.
    """

    def __init__(self, memory_bytes: int = _MEMORY_BYTES) -> None:
        self._memory_bytes = memory_bytes
        self._one_at_a_time = threading.Lock()
        self._kept: OrderedDict[str, Preview] = OrderedDict()

    def of(self, sha256: str, path: Path) -> Preview:
        """The preview of a content.

        Args:
            sha256: Its name, by which it is kept.
            path: Where it is.
        """
        if not self._one_at_a_time.acquire(timeout=_WAIT_S):
            return Preview(problem=_BUSY)
        try:
            if sha256 not in self._kept:
                self._kept[sha256] = self._read(path)
            self._kept.move_to_end(sha256)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return self._kept[sha256]
        finally:
            self._one_at_a_time.release()

    def _read(self, path: Path) -> Preview:
        # -P: the child's folder has modules that are named as libraries may be.
        command = [sys.executable, "-P", str(_CHILD), str(path), str(self._memory_bytes)]
        # The system's allocator fails where the bound is; Arrow's own one reserves address space that it never uses.
        environment = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, env=environment, check=True
            )
            return Preview.model_validate_json(done.stdout)
        except (subprocess.SubprocessError, ValidationError):
            return Preview(problem=_TOO_MUCH)
