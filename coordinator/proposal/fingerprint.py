"""What the files of a source were when `init` looked at them, so that `prepare` can name what changed since.

source.json    in the run directory; the files with size and time, if they are not too many
"""

from __future__ import annotations

import hashlib
import posixpath
from pathlib import Path
from typing import Any

from paris.coordinator.errors import RunDirError
from paris.coordinator.prepare.rows.drops import Dropped
from paris.coordinator.prepare.sources.metadata import METADATA
from paris.coordinator.prepare.sources.policy import SIDECARS, ending, may_be_picture
from paris.coordinator.prepare.sources.settings import HubSource, OwnSource, Source, TwemojiSource
from paris.coordinator.prepare.sources.tables import is_table
from paris.coordinator.prepare.sources.tree import FolderTree
from paris.coordinator.proposal.errors import SourceChangedError
from paris.coordinator.proposal.findings import SourceState
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.json_files import read_object
from paris.experts.files import write_whole
from paris.protocol.canonical import canonical_bytes
from paris.protocol.printable import on_one_line

SOURCE_FILE = "source.json"
_MAX_FILES = 100_000
_SHOWN = 3
_FORMAT = 1


def source_state(source: OwnSource) -> SourceState:
    """The present state of a source; a repo on a Hub is at its commit, which cannot change.

    Raises:
        SourceMissingError: It is gone.
    """
    place = source.model_dump(mode="json", include={"kind", "path", "repo", "revision", "endpoint", "include", "split"})
    if isinstance(source, HubSource):
        return SourceState(place, 0, source.revision, None)
    files = {
        file.path: file.version
        for file in FolderTree(source.path, source.include).files()
        if not isinstance(file, Dropped) and _matters(source.kind, file.path)
    }
    hasher = hashlib.sha256()
    for path in sorted(files):
        hasher.update(f"{path}\x1f{files[path]}\x1e".encode())
    return SourceState(place, len(files), hasher.hexdigest(), files if len(files) <= _MAX_FILES else None)


def _matters(kind: str, path: str) -> bool:
    """Whether a file may hold pictures of the source, or texts of them; notes beside them do not matter."""
    if kind == "parquet":
        return is_table(path)
    if kind == "webdataset":
        return path.lower().endswith(".tar")
    return ending(path) in SIDECARS or posixpath.basename(path) in METADATA or may_be_picture(path)


def save_state(run_dir: Path, state: SourceState) -> None:
    """Write `source.json`."""
    content: dict[str, Any] = {"format": _FORMAT, "place": state.place, "num_files": state.num_files}
    content |= {"digest": state.digest} | ({} if state.files is None else {"files": dict(state.files)})
    write_whole(run_dir / SOURCE_FILE, canonical_bytes(content))


def require_unchanged(run: RunDir, source: Source, *, accept: bool) -> None:
    """Compare a source with what `init` saw; without effect on runs that were made without `--data`.

    If [data.source] was edited to read other files, there is nothing to compare.

    Args:
        run: The run.
        source: Its source.
        accept: Take the present files from now on.

    Raises:
        SourceChangedError: Files are new, gone or changed.
        RunDirError: source.json is damaged.
    """
    path = run.path / SOURCE_FILE
    if not path.is_file() or isinstance(source, TwemojiSource):
        return
    old = _load(path)
    new = source_state(source)
    if old.place != new.place or old.digest == new.digest:
        return
    if accept:
        save_state(run.path, new)
        return
    place = on_one_line(str(new.place.get("path")))
    raise SourceChangedError(
        f"The pictures of {place} are not those that init looked at: {changes(old, new)}.",
        "If that is right, add --accept-changes; paris-coord check-config tells whether the settings still fit.",
    )


def _load(path: Path) -> SourceState:
    remedy = f"Remove {path}, and see to it yourself that the pictures are those you mean."
    saved = read_object(path, remedy)
    try:
        return SourceState(dict(saved["place"]), int(saved["num_files"]), str(saved["digest"]), saved.get("files"))
    except (KeyError, TypeError, ValueError) as error:
        raise RunDirError(f"{path} is damaged.", remedy) from error


def changes(old: SourceState, new: SourceState) -> str:
    """What changed, in words: "2 files are new (a.png, b.png), 1 is gone (c.txt)"."""
    if old.files is None or new.files is None:
        return f"there are {new.num_files} files, there were {old.num_files}; some differ"
    fresh = sorted(set(new.files) - set(old.files))
    gone = sorted(set(old.files) - set(new.files))
    changed = sorted(path for path in set(old.files) & set(new.files) if old.files[path] != new.files[path])
    parts = [_named(fresh, "new"), _named(gone, "gone"), _named(changed, "changed")]
    return ", ".join(part for part in parts if part)


def _named(paths: list[str], what: str) -> str:
    if not paths:
        return ""
    shown = ", ".join(map(on_one_line, paths[:_SHOWN])) + (", ..." if len(paths) > _SHOWN else "")
    return f"{len(paths)} {'file is' if len(paths) == 1 else 'files are'} {what} ({shown})"
