"""Picture files, with captions in sidecar files or in metadata files.

    pictures/dog.png   pictures/dog.txt                     the caption
    pictures/cat.png   pictures/cat.json                    {"caption": "a cat", "author": "Ada"}
    pictures/metadata.csv, .jsonl, .parquet                 see metadata.py

Metadata of one picture from several places is merged; the metadata file has precedence, then the JSON, then the text.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator

from paris.coordinator.prepare.compute.pictures import MISSING
from paris.coordinator.prepare.errors import EmptySourceError, SourceFormatError
from paris.coordinator.prepare.rows.drops import Dropped
from paris.coordinator.prepare.rows.items import Item
from paris.coordinator.prepare.sources.fields import Fields, merged, read_fields, to_item
from paris.coordinator.prepare.sources.listing import Listing
from paris.coordinator.prepare.sources.metadata import METADATA, read_metadata
from paris.coordinator.prepare.sources.settings import FilesSource
from paris.coordinator.prepare.sources.tree import Tree

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
_SIDECARS = (".json", ".txt")
_MAX_SIDECAR_BYTES = 2**20


def read_pictures(tree: Tree, source: FilesSource) -> Iterator[Item | Dropped]:
    """List a source's pictures, by path.

    Raises:
        EmptySourceError: There is none.
        SourceFormatError: A sidecar or metadata file cannot be read; file and line are named.
    """
    with Listing(file for file in tree.files() if _is_read(file.path)) as listing:
        for file in listing.files():
            if posixpath.basename(file.path) in METADATA:
                listing.describe(read_metadata(tree, file.path))
        for path in listing.missing():
            yield Dropped(path, MISSING, "named in the metadata")
        any_picture = False
        for file in listing.files():
            if _suffix(file.path) not in PICTURES:
                continue
            any_picture = True
            fields = merged(_metadata_of(tree, listing, file.path))
            yield to_item(file.path, tree.location(file.path), file.version, fields, source)
    if not any_picture:
        raise EmptySourceError(
            f"The folder {tree.name} contains no picture.", f"Known are {', '.join(sorted(PICTURES))}."
        )


def _is_read(path: str) -> bool:
    return _suffix(path) in PICTURES or _suffix(path) in _SIDECARS or posixpath.basename(path) in METADATA


def _suffix(path: str) -> str:
    return posixpath.splitext(path)[1].lower()


def _metadata_of(tree: Tree, listing: Listing, picture: str) -> Iterator[Fields]:
    yield listing.described(picture)
    for suffix in _SIDECARS:
        path = posixpath.splitext(picture)[0] + suffix
        if listing.version(path) is not None:
            with tree.open(path) as file:
                yield read_sidecar(path, file.read(_MAX_SIDECAR_BYTES + 1))


def read_sidecar(name: str, data: bytes) -> Fields:
    """Parse a sidecar file.

    Args:
        name: Its name, ending in .txt or .json; for messages.
        data: Its bytes.

    Raises:
        SourceFormatError: It is too large, not UTF-8, or not a JSON object.
    """
    if len(data) > _MAX_SIDECAR_BYTES:
        raise SourceFormatError(f"The caption {name} is larger than {_MAX_SIDECAR_BYTES} bytes.", "Shorten it.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceFormatError(
            f"The caption {name} is not UTF-8 text: {error.reason}.", "Save it as UTF-8."
        ) from error
    if _suffix(name) == ".txt":
        return read_fields({"text": text}, "sidecar")
    try:
        raw = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise SourceFormatError(f"{name} is not JSON: {error}.", "Write one JSON object.") from error
    if not isinstance(raw, dict):
        raise SourceFormatError(f"{name} contains no JSON object.", 'Write an object, as {"caption": "a cat"}.')
    return read_fields(raw, "sidecar")
