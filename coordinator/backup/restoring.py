"""`paris-coord restore`: a run directory from a backup, on this machine or at another address."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from paris.coordinator.backup.contents import LIST_NAME, BackupList, ListedFile, is_inside
from paris.coordinator.decisions.attempts import with_attempts_skipped
from paris.coordinator.errors import RunDirError
from paris.coordinator.run.config import dump_config, load_config
from paris.coordinator.run.create import with_host
from paris.coordinator.run.database import PostgresSchema
from paris.coordinator.run.directory import RunDir, require_empty, require_writable
from paris.coordinator.state.store import Store
from paris.experts.files import disk_full_while_writing, sync, write_whole

_CHUNK_BYTES = 2**20
_MAX_LIST_BYTES = 256 * 2**20
ATTEMPTS_SKIPPED = 1000
"""Leases were granted after the backup; those of the restored run have greater numbers, so they keep the others out."""


def restore(
    file: Path, path: Path, *, host: str | None = None, hub_port: int = 0, standby: bool = False
) -> tuple[RunDir, BackupList]:
    """Make a run directory from a backup.

    Args:
        file: As `write_backup` wrote it.
        path: A missing or empty folder.
        host: IPv4 address of this machine for the DHT peer and the embedded Hub; None is that of the backup.
        hub_port: Port of the embedded Hub; 0 is that of the backup.
        standby: For a second coordinator of the same database: without the state, and with a peer of its own.

    Returns:
        The run, and what the backup lists.

    Raises:
        RunDirError: The folder is not empty, the file is no whole backup, or a second coordinator has no database to
            share; nothing is left of the folder.
        ConfigError: The address is none of this machine.
        NewerFileError: A newer version wrote the state or run.toml.
    """
    require_empty(path)
    require_writable(path)
    with _renamed_when_whole(path) as folder:
        listed = _unpacked(file, folder)
        config = with_host(load_config(folder), host, hub_port)
        if config != load_config(folder):
            write_whole(folder / "run.toml.before", (folder / "run.toml").read_bytes())
            write_whole(folder / "run.toml", dump_config(config).encode())
        run = RunDir.open(folder)
        if run.run_id != listed.run_id:
            raise _damaged(file, f"its key is of another run than {listed.run_id}")
        if standby:
            _leave_to_the_other(run)
        if run.state_file.exists():
            _skip_attempts(run)
    return RunDir.open(path), listed


def _unpacked(file: Path, path: Path) -> BackupList:
    found: dict[str, ListedFile] = {}
    listed: BackupList | None = None
    try:
        with tarfile.open(file, "r:") as archive:
            for member in archive:
                if not member.isreg() or not is_inside(member.name) or listed is not None or member.name in found:
                    raise _damaged(file, f"{member.name!r} is no file of a run, or is there twice")
                if member.name == LIST_NAME:
                    listed = _read_list(file, archive, member)
                else:
                    found[member.name] = _written(archive, member, path / member.name)
    except (tarfile.TarError, EOFError) as error:
        raise _damaged(file, str(error)) from error
    except OSError as error:
        if file.exists():
            raise
        raise RunDirError(f"There is no {file}.", "Give the file that `paris-coord backup` wrote.") from error
    if listed is None:
        raise _damaged(file, "it ends before its list of files")
    wrong = next((name for name in listed.files.keys() | found.keys() if listed.files.get(name) != found.get(name)), "")
    if wrong:
        raise _damaged(file, f"{wrong} differs from the list")
    return listed


def _read_list(file: Path, archive: tarfile.TarFile, member: tarfile.TarInfo) -> BackupList:
    source = archive.extractfile(member)
    if source is None or member.size > _MAX_LIST_BYTES:
        raise _damaged(file, "its list of files is too long")
    try:
        return BackupList.model_validate_json(source.read())
    except ValidationError as error:
        raise _damaged(file, f"its list of files is not one of this version: {error.errors()[0]['msg']}") from error


def _written(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> ListedFile:
    digest, num_bytes = hashlib.sha256(), 0
    target.parent.mkdir(parents=True, exist_ok=True)
    source = archive.extractfile(member)
    if source is None:
        return ListedFile(bytes=0, sha256=digest.hexdigest())
    with disk_full_while_writing(target), target.open("xb") as out:
        target.chmod(0o600 if target.parent.name == "keys" else member.mode & 0o755 | 0o600)
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
            num_bytes += len(chunk)
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    return ListedFile(bytes=num_bytes, sha256=digest.hexdigest())


def _leave_to_the_other(run: RunDir) -> None:
    """Remove what two coordinators of a run may not both have."""
    if not isinstance(run.state, PostgresSchema):
        raise RunDirError(
            "A second coordinator shares the database of the first, and run.toml of the backup names none.",
            "Set [state] database in the first one's run.toml, serve it, and make another backup.",
        )
    if run.config.hub.embedded:
        raise RunDirError(
            "A second coordinator cannot serve the embedded Hub of the first.",
            "Use a Hub that both reach: [hub] endpoint, with embedded = false.",
        )
    for path in (run.state_file, run.peer_key, run.path / "sequence"):
        path.unlink(missing_ok=True)


def _skip_attempts(run: RunDir) -> None:
    """Let the next lease of each task have a greater number than any that was granted after the backup."""
    store = Store(run.state_file)
    try:
        before = store.load()
        store.save(before, with_attempts_skipped(before, ATTEMPTS_SKIPPED), [], time.time())
    finally:
        store.close()


@contextmanager
def _renamed_when_whole(path: Path) -> Iterator[Path]:
    """A folder beside `path` that takes its name at the end: half a run is never there, not even after `kill -9`."""
    path.absolute().parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.restoring-", dir=path.absolute().parent))
    try:
        yield folder
        sync(folder)
        folder.chmod(0o755)
        folder.rename(path)
        sync(path.absolute().parent)
    finally:
        if folder.exists():
            shutil.rmtree(folder)


def _damaged(file: Path, why: str) -> RunDirError:
    return RunDirError(f"{file} is no whole backup: {why}.", "Use another backup; nothing was restored.")
