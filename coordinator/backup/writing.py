"""`paris-coord backup`: one tar file of a run, also while it is served.

Databases are copied by SQLite's own backup, each as of one moment; a state in PostgreSQL becomes an SQLite file. The
other files are replaced whole, so each is whole. The state is copied first and the Hub's files last: what the state
names is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import sqlite3
import stat
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, cast

from paris.coordinator.backup.contents import DATABASES, HUB_DATABASE, LIST_NAME, BackupList, ListedFile, files_to_keep
from paris.coordinator.errors import DatabaseError, RunDirError
from paris.coordinator.hub.storage.store import contents_named
from paris.coordinator.run.database import STATE_FILE, PostgresSchema
from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.copying import copy_state
from paris.experts.files import whole_file
from paris.protocol.version import SOFTWARE_VERSION

Progress = Callable[[int, int], None]
"""Called with the files and the bytes that are written."""


def write_backup(run: RunDir, out: Path, progress: Progress | None = None) -> BackupList:
    """Write a run into a new file, which only its owner can read: it holds the run's keys.

    Args:
        run: The run directory.
        out: The file.
        progress: Told after each file.

    Raises:
        RunDirError: The file exists, or lies in the run directory; or contents were deleted or cut meanwhile.
        DatabaseError: A database is damaged, or PostgreSQL does not answer.
        DiskFullError: No space.
        In each case nothing is left of the file.
    """
    if out.exists():
        raise RunDirError(f"{out} exists already.", "Choose another name, or delete it.")
    if out.resolve().is_relative_to(run.path.resolve()):
        raise RunDirError(f"{out} lies in the run directory itself.", "Choose a place outside it.")
    made_at, files = time.time(), dict[str, ListedFile]()
    with whole_file(out) as partial, _private(partial) as file, tarfile.open(fileobj=file, mode="w") as archive:

        def add(path: str, source: Path) -> None:
            files[path] = _added(archive, path, source)
            if progress is not None:
                progress(len(files), sum(listed.bytes for listed in files.values()))

        contents: set[str] = set()
        for path in DATABASES:
            if (run.path / path).is_file():
                with _temporary(out) as copy:
                    add(path, _copied(run.path / path, copy))
                    contents |= contents_named(copy) if path == HUB_DATABASE else set()
            elif path == STATE_FILE and isinstance(run.state, PostgresSchema):
                with _temporary(out) as copy:
                    copy_state(run.state, copy)
                    add(path, copy)
        for path in files_to_keep(run.path):
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile: nothing needs it any more
                if stat.S_ISREG((run.path / path).stat().st_mode):
                    add(path, run.path / path)
        gone = sorted(contents - {PurePosixPath(path).name for path in files})
        if gone:
            raise RunDirError(
                f"The Hub deleted {gone[0]} while it was copied, and {len(gone) - 1} others.", "Run the command again."
            )
        listed = BackupList(run_id=run.run_id, made_at=made_at, software=SOFTWARE_VERSION, files=files)
        _add_list(archive, listed)
    return listed


@contextlib.contextmanager
def _temporary(out: Path) -> Iterator[Path]:
    """A place for a database's copy, beside the backup."""
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".backup-") as folder:
        yield Path(folder) / "copy"


@contextlib.contextmanager
def _private(path: Path) -> Iterator[IO[bytes]]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        yield file


def _copied(database: Path, copy: Path) -> Path:
    """A copy of a database as of one moment."""
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
    except sqlite3.DatabaseError as error:
        raise DatabaseError(
            f"{database} cannot be copied: {error}.", "Restore it from an earlier backup, or ask for help."
        ) from error
    return copy


class _Hashed:
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data


def _added(archive: tarfile.TarFile, path: str, source: Path) -> ListedFile:
    with source.open("rb") as file:
        info = archive.gettarinfo(arcname=path, fileobj=file)
        hashed = _Hashed(file)
        try:
            archive.addfile(_plain(info), cast(IO[bytes], hashed))
        except OSError as error:
            if error.errno is not None:
                raise
            raise RunDirError(f"{source} got shorter while it was copied.", "Run the command again.") from error
    return ListedFile(bytes=info.size, sha256=hashed.digest.hexdigest())


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without the owner's name; a hard link, as of files that are stored once, becomes a file."""
    info.type, info.linkname = tarfile.REGTYPE, ""
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def _add_list(archive: tarfile.TarFile, listed: BackupList) -> None:
    data = listed.model_dump_json(indent=1).encode()
    info = tarfile.TarInfo(LIST_NAME)
    info.size, info.mode, info.mtime = len(data), 0o600, int(listed.made_at)
    archive.addfile(info, io.BytesIO(data))
