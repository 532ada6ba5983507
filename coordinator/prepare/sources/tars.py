"""WebDataset tars, as img2dataset writes them: consecutive members with the same name before the ending are one row.

    00000.tar    000000001.jpg  000000001.txt  000000001.json  000000002.jpg ...

Keys may contain dots: "shot 1.5.png" has the text "shot 1.5.txt". A picture without a text of its own takes that of its
name before the first dots, as WebDataset groups them: "7.left.jpg" takes "7.txt".

Only the headers and the small members are read here; a picture is later read as a range of its tar. Daft's own reader
takes its columns from the first five rows and rejects members that appear later; here, captions and metadata may be
missing.
"""

from __future__ import annotations

import os
import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from paris.coordinator.prepare.compute.picture_formats import SIGNATURE_BYTES, has_signature
from paris.coordinator.prepare.compute.pictures import MISSING
from paris.coordinator.prepare.errors import EmptySourceError, SourceFormatError
from paris.coordinator.prepare.rows.drops import Dropped
from paris.coordinator.prepare.rows.items import Item
from paris.coordinator.prepare.sources.fields import Fields, merged, read_fields, to_item
from paris.coordinator.prepare.sources.folder import read_sidecar
from paris.coordinator.prepare.sources.policy import (
    MAX_TEXT_BYTES,
    NOT_A_PICTURE,
    NOT_A_TAR,
    SIDECARS,
    ending,
    excluded,
    has_picture_ending,
    may_be_picture,
)
from paris.coordinator.prepare.sources.settings import FilesSource
from paris.coordinator.prepare.sources.tree import SourceFile, Tree, range_location

SECOND_PICTURE = "second picture of a row"
SECOND_ROW = "same key as an earlier row"
_CLASS = ".cls"
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")


def read_tars(tree: Tree, source: FilesSource) -> Iterator[Item | Dropped]:
    """List the rows of all tars of a source, tar by tar, in their order.

    Raises:
        EmptySourceError: There is no tar.
        SourceFormatError: A tar is compressed, truncated or broken.
    """
    tars = []
    for file in tree.files():
        if isinstance(file, Dropped):
            yield file
        elif file.path.lower().endswith(_COMPRESSED):
            raise SourceFormatError(
                f"The tar {file.path} is compressed: its pictures cannot be read one by one.",
                "Unpack it to a plain .tar; pictures are compressed already.",
            )
        elif file.path.lower().endswith(".tar"):
            tars.append(file)
        else:
            yield Dropped(file.path, NOT_A_TAR)
    if not tars:
        raise EmptySourceError(f"{tree.name} contains no tar.", "Check the source's path and its include.")
    for file in sorted(tars, key=lambda tar: tar.path):
        with tree.open(file.path) as stream:
            yield from _Tar(tree, file, source).rows(stream)


@dataclass
class _Group:
    """Consecutive members with the same name before the last ending."""

    picture: str = ""
    """Location, or empty."""
    texts: dict[str, Fields] = field(default_factory=dict)
    """By ending."""
    class_name: str = ""
    others: list[str] = field(default_factory=list)
    """Names of the other members."""


class _Tar:
    """The rows of one tar.

    Args:
        tree: The source.
        file: The tar.
        source: Names of fields, defaults.
    """

    def __init__(self, tree: Tree, file: SourceFile, source: FilesSource) -> None:
        self._file, self._source = file, source
        self._whole = tree.location(file.path)
        self._seen: set[str] = set()

    def rows(self, stream: BinaryIO) -> Iterator[Item | Dropped]:
        """All rows, in the tar's order."""
        short, groups = "", dict[str, _Group]()
        for member, start in _members(self._file.path, stream):
            path = f"{self._file.path}/{member.name}"
            bad = excluded(member.name.removeprefix("./"))
            if bad is not None or start is None:
                yield Dropped(path, bad.reason if bad else NOT_A_PICTURE, "" if bad else "a link or a device")
                continue
            folder, name = posixpath.split(member.name)
            first_dots = posixpath.join(folder, name.split(".", 1)[0])
            if first_dots != short:
                yield from self._listed(groups)
                short, groups = first_dots, {}
            group = groups.setdefault(posixpath.splitext(member.name)[0], _Group())
            yield from self._take(group, member, start, path)
        yield from self._listed(groups)

    def _take(self, group: _Group, member: tarfile.TarInfo, start: bytes, path: str) -> Iterator[Dropped]:
        """Add a member to its group."""
        suffix = ending(member.name)
        if has_picture_ending(member.name) or (may_be_picture(member.name) and has_signature(start)):
            if group.picture:
                yield Dropped(path, SECOND_PICTURE)
            else:
                group.picture = range_location(self._whole, member.offset_data, member.size)
        elif suffix in SIDECARS:
            group.texts[suffix] = read_sidecar(path, start, self._source.caption_column)
        elif suffix == _CLASS:
            group.class_name = start.decode("utf-8", "surrogateescape").strip()
        else:
            group.others.append(posixpath.basename(member.name))

    def _listed(self, groups: dict[str, _Group]) -> Iterator[Item | Dropped]:
        """The rows of groups whose names are the same before the first dot."""
        lenders = {key for key, group in groups.items() if group.texts and not group.picture}
        pictured = {key for key, group in groups.items() if group.picture}
        lent = set()
        for key, group in groups.items():
            if group.picture:
                lender = key if group.texts else _before(key, lenders)
                is_second = not group.texts and (lender in lent or _before(key, pictured) is not None)
                if lender is not None:
                    lent.add(lender)
                yield self._row(key, group, groups[lender].texts if lender else {}, is_second)
        for key, group in groups.items():
            if not group.picture and key not in lent:
                yield self._without_picture(key, group)

    def _row(self, key: str, group: _Group, texts: dict[str, Fields], is_second: bool) -> Item | Dropped:
        row_id = f"{self._file.path}/{key}"
        if is_second:
            return Dropped(row_id, SECOND_PICTURE)
        if key in self._seen:
            return Dropped(row_id, SECOND_ROW)
        self._seen.add(key)
        parts = [texts[suffix] for suffix in SIDECARS if suffix in texts]
        if self._source.class_captions and group.class_name:
            parts.append(read_fields({"text": group.class_name}, "class"))
        return to_item(row_id, group.picture, self._file.version, merged(parts), self._source)

    def _without_picture(self, key: str, group: _Group) -> Dropped:
        row_id = f"{self._file.path}/{key}"
        if group.texts:
            return Dropped(row_id, MISSING, "the tar holds its texts alone")
        return Dropped(row_id, NOT_A_PICTURE, ", ".join(group.others))


def _before(key: str, others: set[str]) -> str | None:
    """The longest of the names that the key continues after a dot."""
    folder, name = posixpath.split(key)
    parts = name.split(".")
    prefixes = (posixpath.join(folder, ".".join(parts[:count])) for count in range(len(parts) - 1, 0, -1))
    return next((prefix for prefix in prefixes if prefix in others), None)


def _members(path: str, stream: BinaryIO) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
    """The files of a tar, with all bytes of texts and the first bytes of others; None for links and devices.

    Of tars that were joined (`cat a.tar b.tar`), the files of all. Other bytes after an end mark are left out.

    Raises:
        SourceFormatError: The file is no tar, or ends before its end mark.
    """
    try:
        while True:
            with tarfile.open(fileobj=stream, mode="r:") as tar:
                yield from _members_of_one(tar)
            stream.seek(tar.offset)
            if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                # tarfile takes a cut between two members, or a broken header, for the end
                raise tarfile.TarError("no end mark")
            if not _is_at_joined(stream):
                return
    except (tarfile.TarError, ValueError, OverflowError) as error:  # tarfile takes numbers in headers as they are
        raise SourceFormatError(f"The tar {path} is cut off or broken: {error}.", "Fetch or write it again.") from error


def _members_of_one(tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
    """As `_members`, up to the first end mark."""
    while (member := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # tarfile would keep them all
        if member.isdir():
            continue
        if not member.isreg() or member.issparse():
            yield member, None
            continue
        wanted = 0 if has_picture_ending(member.name) else SIGNATURE_BYTES
        wanted = MAX_TEXT_BYTES + 1 if ending(member.name) in SIDECARS else wanted
        inside = tar.extractfile(member) if wanted else None
        yield member, b"" if inside is None else inside.read(wanted)


def _is_at_joined(stream: BinaryIO) -> bool:
    """Move to the next block that is not empty; False if there is none, or it begins no tar."""
    while block := stream.read(tarfile.BLOCKSIZE):
        if any(block):
            stream.seek(-len(block), os.SEEK_CUR)
            return _begins_tar(block)
    return False


def _begins_tar(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, tarfile.ENCODING, "surrogateescape")
    except tarfile.TarError:
        return False
    return True
