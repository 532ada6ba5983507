"""What a backup holds: the files of a run directory that the run needs, and a list of them with their digests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from paris.coordinator.run.database import STATE_FILE

LIST_NAME = "backup.json"
"""The last member of the file."""
HUB_DATABASE = "hub/hub.sqlite3"
DATABASES = (STATE_FILE, HUB_DATABASE)
"""In the order in which they are copied: what the state names, the Hub's later copy has."""
_LEFT_OUT_FOLDERS = ("logs", "hub/incoming", "hub/parts")
_LEFT_OUT_NAMES = ("serve.lock", "hub.lock", "health.json", LIST_NAME)
_LEFT_OUT_ENDINGS = ("-wal", "-shm", "-journal", ".part", ".bak", ".moved", ".lock")


class ListedFile(BaseModel):
    """One file of a backup."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class BackupList(BaseModel):
    """backup.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal[1] = 1
    run_id: str
    made_at: float
    """UTC seconds, before the first file was read."""
    software: str
    files: dict[str, ListedFile]
    """By their path in the run directory."""


def files_to_keep(run_dir: Path) -> Iterator[str]:
    """Paths of the files to be copied as they are, relative to the run directory; databases are not among them.

    Links to folders are not followed: what they lead to is not the run's.
    """
    for folder, folders, names in os.walk(run_dir):
        inside = Path(folder).relative_to(run_dir).as_posix()
        folders[:] = sorted(name for name in folders if _joined(inside, name) not in _LEFT_OUT_FOLDERS)
        for name in sorted(names):
            path = _joined(inside, name)
            if path not in DATABASES and is_kept(name):
                yield path


def is_kept(name: str) -> bool:
    """Whether a file of this name belongs in a backup: no lock, no rest of a write, no copy."""
    return name not in _LEFT_OUT_NAMES and not name.endswith(_LEFT_OUT_ENDINGS)


def is_inside(path: str) -> bool:
    """Whether a path of a backup stays in the run directory."""
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\\" not in path and "\0" not in path


def _joined(folder: str, name: str) -> str:
    return name if folder == "." else f"{folder}/{name}"
