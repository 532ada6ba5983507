"""WebDataset tars, as img2dataset writes them: consecutive members that share a key are one row.

    00000.tar    000000001.jpg  000000001.txt  000000001.json  000000002.jpg ...

Only the headers and the small members are read here; a picture is later read as a range of its tar. Daft's own reader
takes its columns from the first five rows and rejects members that appear later; here, captions and metadata may be
missing.
"""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from paris.coordinator.prepare.compute.pictures import MISSING
from paris.coordinator.prepare.errors import EmptySourceError, SourceFormatError
from paris.coordinator.prepare.rows.drops import Dropped
from paris.coordinator.prepare.rows.items import Item
from paris.coordinator.prepare.sources.fields import Fields, merged, to_item
from paris.coordinator.prepare.sources.folder import PICTURES, read_sidecar
from paris.coordinator.prepare.sources.settings import FilesSource
from paris.coordinator.prepare.sources.tree import SourceFile, Tree, range_location

_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")
_MAX_TEXT_BYTES = 2**20


def read_tars(tree: Tree, source: FilesSource) -> Iterator[Item | Dropped]:
    """List the rows of all tars of a source, tar by tar, in their order.

    Raises:
        EmptySourceError: There is no tar.
        SourceFormatError: A tar is compressed, truncated or broken, has a key twice, or a caption cannot be read.
    """
    tars = []
    for file in tree.files():
        if file.path.lower().endswith(_COMPRESSED):
            raise SourceFormatError(
                f"The tar {file.path} is compressed: its pictures cannot be read one by one.",
                "Unpack it to a plain .tar; pictures are compressed already.",
            )
        if file.path.lower().endswith(".tar"):
            tars.append(file)
    if not tars:
        raise EmptySourceError(f"{tree.name} contains no tar.", "Check the source's path and its include.")
    for file in sorted(tars, key=lambda tar: tar.path):
        with tree.open(file.path) as stream:
            yield from _rows(tree, file, stream, source)


def _rows(tree: Tree, file: SourceFile, stream: BinaryIO, source: FilesSource) -> Iterator[Item | Dropped]:
    whole = tree.location(file.path)
    seen: set[str] = set()
    key, picture, texts = "", "", dict[str, Fields]()

    def row() -> Iterator[Item | Dropped]:
        if picture:
            fields = merged(texts[suffix] for suffix in sorted(texts))  # .json has precedence over .txt
            yield to_item(f"{file.path}/{key}", picture, file.version, fields, source)
        elif texts:
            yield Dropped(f"{file.path}/{key}", MISSING, "the tar holds its texts alone")

    for member, data in _members(file.path, stream):
        folder, name = posixpath.split(member.name)
        stem, _, ending = name.partition(".")
        suffix = f".{ending.lower()}"
        if posixpath.join(folder, stem) != key:
            yield from row()
            key, picture, texts = posixpath.join(folder, stem), "", {}
            if key in seen:
                raise SourceFormatError(
                    f"The tar {file.path} contains the key {key!r} twice.", "Remove one of the two."
                )
            seen.add(key)
        if suffix in PICTURES and not picture:
            picture = range_location(whole, member.offset_data, member.size)
        elif data is not None:
            texts[suffix] = read_sidecar(f"{file.path}/{member.name}", data)
    yield from row()


def _members(path: str, stream: BinaryIO) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
    """The regular files of a tar, with the bytes of the small texts among them.

    Raises:
        SourceFormatError: The file is no tar, or ends before its end mark.
    """
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # tarfile would keep them all
                if not member.isreg() or member.issparse():
                    continue
                is_text = member.name.lower().endswith((".txt", ".json"))
                inside = tar.extractfile(member) if is_text else None
                yield member, None if inside is None else inside.read(_MAX_TEXT_BYTES + 1)
            stream.seek(tar.offset)
            ended = stream.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)
    except tarfile.TarError as error:
        raise SourceFormatError(f"The tar {path} is cut off or broken: {error}.", "Fetch or write it again.") from error
    if not ended:  # tarfile takes a cut between two members, or a broken header, for the end
        raise SourceFormatError(f"The tar {path} is cut off or broken: no end mark.", "Fetch or write it again.")
