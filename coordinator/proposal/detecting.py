"""What kind of source a path or a name is, by what is there.

photos/                       pictures, Parquet files or tars, whichever hold the most bytes
photos.parquet, 00000.tar     one file
org/photos                    a data set repo, if there is no such path
https://hub.example.org/datasets/org/photos
"""

from __future__ import annotations

import os
import posixpath
import re
import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paris.coordinator.prepare.errors import EmptySourceError, SourceFormatError, SourceMissingError
from paris.coordinator.prepare.rows.drops import Dropped
from paris.coordinator.prepare.sources.metadata import METADATA
from paris.coordinator.prepare.sources.policy import ending, has_picture_ending
from paris.coordinator.prepare.sources.settings import (
    FolderSource,
    HubSource,
    OwnSource,
    ParquetSource,
    WebdatasetSource,
)
from paris.coordinator.prepare.sources.splits import find_splits
from paris.coordinator.prepare.sources.tables import is_table
from paris.coordinator.prepare.sources.tree import FolderTree, SourceFile
from paris.protocol.hub_layout import PUBLIC_ENDPOINT
from paris.protocol.printable import on_one_line

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_ADDRESS = re.compile(r"(https?://[^/\s]+)/datasets/([^/\s]+/[^/\s]+?)(?:/(?:tree|resolve)/([^/\s]+))?/?")
_ARCHIVES = {".zip", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".7z", ".rar"}
_KINDS = {"folder": "picture", "parquet": "Parquet file", "webdataset": "tar"}
_NAMED_FILES = 20
_GLOB = re.compile(r"([*?[])")


@dataclass(frozen=True)
class Hints:
    """What the organiser says about the source; None and empty leave it to the files."""

    include: tuple[str, ...] = ()
    """Shell patterns of the files to read."""
    split: str | None = None
    revision: str | None = None
    """Of a data set repo."""
    caption_column: str | None = None
    image_column: str | None = None


@dataclass(frozen=True)
class Detected:
    """A source's settings, and how they were found."""

    source: OwnSource
    files: tuple[SourceFile, ...] = ()
    """Of a folder: all files that are read."""
    splits: dict[str, int] | None = None
    notes: tuple[str, ...] = ()


NO_HINTS = Hints()


def detect(place: str, hints: Hints = NO_HINTS) -> Detected:
    """Find what kind of source a place is.

    Args:
        place: A folder, a file, `org/name`, or the address of a data set's page.
        hints: What is known already.

    Raises:
        SourceMissingError: There is nothing of this name.
        EmptySourceError: It holds no picture, no Parquet file and no tar.
        SourceFormatError: It holds archives alone, or no split of the name that was given.
    """
    path = Path(place).expanduser()
    if path.exists():
        return _local(path.resolve(), hints)
    found = _repo(place)
    if found is None:
        raise SourceMissingError(
            f"There is no folder or file {on_one_line(place)}, and it is not the name of a data set.",
            "Give a folder, a Parquet file, a tar, or org/name of a data set on a Hub.",
        )
    endpoint, repo, revision = found
    settings: dict[str, Any] = {"endpoint": endpoint, "repo": repo, "name": repo, "include": hints.include}
    settings |= {"revision": hints.revision or revision or "main", "split": hints.split or "train"}
    settings |= {"caption_column": hints.caption_column, "image_column": hints.image_column}
    return Detected(HubSource.model_validate(settings))


def _repo(place: str) -> tuple[str, str, str | None] | None:
    """Endpoint, repo and revision of the name or the address of a data set."""
    address = _ADDRESS.fullmatch(place)
    if address is not None:
        return address[1], address[2], address[3]
    name = place.removeprefix("hf://").removeprefix("datasets/")
    if not _REPO.fullmatch(name):
        return None
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or PUBLIC_ENDPOINT, name, None


def _local(path: Path, hints: Hints) -> Detected:
    files = [file for file in FolderTree(path, hints.include).files() if not isinstance(file, Dropped)]
    kind, note = _kind(path, files, hints.include)
    splits, include = ({}, ()) if hints.include else _splits(path, files, kind, hints.split)
    if include:
        chosen = hints.split or "train"
        note = (*note, f"Only the split {chosen} is read, of {', '.join(sorted(splits))}; --split chooses another.")
        files = [file for file in FolderTree(path, include).files() if not isinstance(file, Dropped)]
    settings: dict[str, Any] = {
        "path": path,
        "include": hints.include or include,
        "caption_column": hints.caption_column,
    }
    settings["name"] = re.sub(r"[^\w.-]+", "-", path.stem if path.is_file() else path.name).strip("-") or kind
    if kind == "parquet":
        source: OwnSource = ParquetSource.model_validate({**settings, "image_column": hints.image_column})
    else:
        source = (FolderSource if kind == "folder" else WebdatasetSource).model_validate(settings)
    return Detected(source, tuple(files), splits, note)


def _kind(path: Path, files: list[SourceFile], include: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The kind whose files hold the most bytes, and a sentence where there are several kinds.

    Raises:
        EmptySourceError: No file may be a picture or hold any.
        SourceFormatError: There are archives alone.
    """
    num_bytes, count = Counter[str](), Counter[str]()
    for file in files:
        kind = _kind_of(file.path)
        if kind is not None:
            num_bytes[kind] += int(file.version.partition(":")[0])
            count[kind] += 1
    if not count:
        archives = [file.path for file in files if ending(file.path) in _ARCHIVES]
        if archives:
            raise SourceFormatError(
                f"{on_one_line(str(path))} holds no picture, but the archive {on_one_line(archives[0])}.",
                "Unpack it, and give the folder.",
            )
        if not files:
            raise _nothing_read(path, include)
        return "folder", ()  # pictures without an ending, as far as there are any
    kind = num_bytes.most_common(1)[0][0]
    others = [other for other in sorted(count) if other != kind]
    if not others:
        return kind, ()
    left_out = " and ".join(_counted(count[other], other) for other in others)
    are = "is" if sum(count[other] for other in others) == 1 else "are"
    is_read = "is read" if count[kind] == 1 else "are read"
    return kind, (f"{_counted(count[kind], kind)} {is_read}, {left_out} {are} not; --include chooses.",)


def _counted(count: int, kind: str) -> str:
    return f"{count} {_KINDS[kind]}{'' if count == 1 else 's'}"


def _nothing_read(path: Path, include: tuple[str, ...]) -> EmptySourceError:
    place = on_one_line(str(path))
    if not include:
        return EmptySourceError(f"{place} is empty: it contains no file to read.", "Check the path.")
    patterns = " ".join(f"--include {on_one_line(shlex.quote(pattern))}" for pattern in include)
    return EmptySourceError(
        f"No file of {place} matches {patterns}.", "Correct the pattern; it is compared with paths inside the folder."
    )


def _kind_of(path: str) -> str | None:
    if is_table(path):
        return "parquet"
    if path.lower().endswith(".tar"):
        return "webdataset"
    return "folder" if has_picture_ending(path) else None


def _splits(
    path: Path, files: list[SourceFile], kind: str, wanted: str | None
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Files of each split, and patterns of the wanted one; nothing if the files are no splits.

    A class may be called "train" or "test": folders are splits only if all files are in one, and there are several.
    """
    paths = [file.path for file in files if _kind_of(file.path) == kind]
    found = find_splits(FolderTree(path), [file.path for file in files]) if path.is_dir() else {}
    splits = Counter(found[name] for name in paths if name in found)
    if len(splits) < 2 or splits.total() < len(paths) or "train" not in splits:
        splits.clear()
    chosen = wanted or "train"
    if wanted is not None and wanted not in splits:
        known = f"its splits are {', '.join(sorted(splits))}" if splits else "it has no splits"
        raise SourceFormatError(
            f"{on_one_line(str(path))} has no split {wanted!r}: {known}.", "Leave --split out, or give --include."
        )
    if not splits:
        return {}, ()
    inside = [name for name in paths if found[name] == chosen]
    shared = [file.path for file in files if file.path not in found and posixpath.basename(file.path) in METADATA]
    start = _common_start(inside).rstrip("0123456789")  # later shards of the split are read too
    if len(inside) > 1 and start and not any(name.startswith(start) and found[name] != chosen for name in paths):
        return dict(splits), (f"{_escaped(start)}*", *map(_escaped, shared))
    if len(inside) <= _NAMED_FILES:
        return dict(splits), tuple(map(_escaped, (*inside, *shared)))
    raise SourceFormatError(
        f"{on_one_line(str(path))} mixes the files of {', '.join(sorted(splits))} in one folder.",
        "Choose the files with --include.",
    )


def _common_start(paths: list[str]) -> str:
    """The longest text that all paths start with."""
    low, high = min(paths), max(paths)
    return low[: next((place for place, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))]


def _escaped(path: str) -> str:
    """A shell pattern of this path alone."""
    return _GLOB.sub(r"[\1]", path)
