"""Picture files, with captions in sidecar files or in metadata files.

    pictures/dog.png   pictures/dog.txt, dog.caption        the caption
    pictures/cat.png   pictures/cat.json                    {"caption": "a cat", "author": "Ada"}
    pictures/metadata.csv, .jsonl, .parquet                 see metadata.py

Metadata of one picture from several places is merged; the metadata file has precedence, then the JSON, then the text.
Which files are pictures: policy.py.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import replace

from paris.coordinator.prepare.compute.picture_formats import SIGNATURE_BYTES, has_signature
from paris.coordinator.prepare.compute.pictures import MISSING
from paris.coordinator.prepare.errors import EmptySourceError, PrepareError
from paris.coordinator.prepare.rows.drops import Dropped
from paris.coordinator.prepare.rows.items import Item
from paris.coordinator.prepare.sources.fields import Fields, merged, parse_json, read_fields, text_encoding, to_item
from paris.coordinator.prepare.sources.listing import Listing
from paris.coordinator.prepare.sources.metadata import METADATA, read_metadata
from paris.coordinator.prepare.sources.policy import (
    MAX_TEXT_BYTES,
    NOT_A_PICTURE,
    SIDECARS,
    ending,
    has_picture_ending,
    may_be_picture,
)
from paris.coordinator.prepare.sources.settings import FilesSource
from paris.coordinator.prepare.sources.tree import Tree


def read_pictures(tree: Tree, source: FilesSource) -> Iterator[Item | Dropped]:
    """List a source's pictures, by path; then its other files, as dropped.

    Raises:
        EmptySourceError: There is no picture.
        SourceFormatError: A metadata.parquet is broken.
    """
    with Listing() as listing:
        for file in tree.files():
            if isinstance(file, Dropped):
                listing.exclude(file.row_id)
                yield file
            else:
                listing.add(file)
        for file in listing.files():
            if posixpath.basename(file.path) in METADATA:
                listing.use(file.path)
                yield from listing.describe(read_metadata(tree, file.path, source.caption_column))
        for path in listing.missing():
            yield Dropped(path, MISSING, "named in the metadata")
        any_picture = False
        for file in listing.files():
            if not _is_picture(tree, file.path):
                continue
            any_picture = True
            listing.use(file.path)
            fields = merged(_metadata_of(tree, listing, file.path, source))
            yield to_item(file.path, tree.location(file.path), file.version, fields, source)
        for path in listing.unused():
            yield Dropped(path, NOT_A_PICTURE, "no picture beside it" if ending(path) in SIDECARS else "")
    if not any_picture:
        raise EmptySourceError(f"The folder {tree.name} contains no picture.", "Check the source's path and include.")


def _is_picture(tree: Tree, path: str) -> bool:
    if has_picture_ending(path):
        return True
    return may_be_picture(path) and has_signature(_start_of(tree, path, SIGNATURE_BYTES) or b"")


def _start_of(tree: Tree, path: str, num_bytes: int) -> bytes | None:
    """The first bytes of a file; None if it cannot be opened."""
    try:
        with tree.open(path) as file:
            return file.read(num_bytes)
    except PrepareError:  # the Hub does not answer
        raise
    except OSError:
        return None


def _metadata_of(tree: Tree, listing: Listing, picture: str, source: FilesSource) -> Iterator[Fields]:
    yield listing.described(picture)
    stem = posixpath.splitext(picture)[0]
    for suffix in SIDECARS:
        for name in (f"{name}{kind}" for name in (stem, picture) for kind in (suffix, suffix.upper())):
            path = listing.find(name)
            if path is not None:
                listing.use(path)
                yield read_sidecar(path, _start_of(tree, path, MAX_TEXT_BYTES + 1), source.caption_column)
    folder = posixpath.basename(posixpath.dirname(picture))
    if source.class_captions and folder:
        yield read_fields({"text": folder.replace("_", " ")}, "class")


def read_sidecar(name: str, data: bytes | None, caption_name: str | None) -> Fields:
    """Parse a sidecar file; one that cannot be read has a `fault`.

    Args:
        name: Its name, with one of the endings `SIDECARS`.
        data: Its bytes; None if it cannot be opened.
        caption_name: Name of the caption's field in JSON; None: a usual one.
    """
    fields = _parsed(ending(name), data, caption_name)
    return replace(fields, fault=f"{name}: {fields.fault}") if fields.fault else fields


def _parsed(suffix: str, data: bytes | None, caption_name: str | None) -> Fields:
    if data is None:
        return Fields(fault="it cannot be opened")
    if len(data) > MAX_TEXT_BYTES:
        return Fields(fault=f"larger than {MAX_TEXT_BYTES} bytes")
    try:
        text = data.decode(*text_encoding(data))
    except UnicodeDecodeError as error:
        return Fields(fault=f"not UTF-16: {error.reason}")
    if suffix != ".json":
        return read_fields({"text": text}, "sidecar")
    try:
        raw = parse_json(text)
    except ValueError as error:
        return Fields(fault=f"not JSON: {error}")
    return read_fields(raw, "sidecar", caption_name) if isinstance(raw, dict) else Fields(fault="not a JSON object")
