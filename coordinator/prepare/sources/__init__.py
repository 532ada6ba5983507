"""Where pictures, captions and their provenance come from.

settings.py     [data.source] of run.toml: one closed model a kind
listing of rows:
  twemoji.py      the Twemoji pictures of a package
  folder.py       pictures with captions beside them; metadata.py: the Hub's imagefolder files; listing.py joins the two
  tars.py         WebDataset tars
  tables.py       Parquet with the bytes of the pictures
  hub.py          a data set repo at a commit, holding any of the last three
fields.py       what a row's metadata says, whatever its names
tree.py         the files of a source, and how a row's bytes are named
reading.py      those bytes again, inside Daft; row_groups.py for Parquet
"""

from __future__ import annotations

from collections.abc import Iterator

from paris.coordinator.prepare.errors import SourceFormatError
from paris.coordinator.prepare.rows.drops import Dropped
from paris.coordinator.prepare.rows.items import Item, SourceInfo
from paris.coordinator.prepare.sources.folder import read_pictures
from paris.coordinator.prepare.sources.hub import HubTree
from paris.coordinator.prepare.sources.settings import (
    FolderSource,
    HubSource,
    ParquetSource,
    Source,
    TwemojiSource,
    WebdatasetSource,
)
from paris.coordinator.prepare.sources.tables import is_table, read_tables
from paris.coordinator.prepare.sources.tars import read_tars
from paris.coordinator.prepare.sources.tree import FolderTree
from paris.coordinator.prepare.sources.twemoji import TWEMOJI, read_twemoji


def source_info(source: Source) -> SourceInfo:
    """What is said of the source as a whole."""
    if isinstance(source, TwemojiSource):
        return TWEMOJI
    return SourceInfo(source.name, source.licence, source.attribution)


def read_source(source: Source) -> Iterator[Item | Dropped]:
    """List what a source offers, one row after the other, in an order that its files alone decide.

    No picture is opened. A row may have no caption.

    Raises:
        PrepareError: The source is missing, empty or malformed.
    """
    if isinstance(source, TwemojiSource):
        yield from read_twemoji(source)
    elif isinstance(source, FolderSource):
        yield from read_pictures(FolderTree(source.path, source.include), source)
    elif isinstance(source, WebdatasetSource):
        yield from read_tars(FolderTree(source.path, source.include), source)
    elif isinstance(source, ParquetSource):
        yield from read_tables(FolderTree(source.path, source.include), source)
    else:
        yield from _read_hub(source)


def _read_hub(source: HubSource) -> Iterator[Item | Dropped]:
    tree = HubTree(source)
    layout = _layout(tree) if source.layout == "auto" else source.layout
    if layout == "parquet":
        yield from read_tables(tree, source)
    elif layout == "webdataset":
        yield from read_tars(tree, source)
    else:
        yield from read_pictures(tree, source)


def _layout(tree: HubTree) -> str:
    """What a repo holds: Parquet files, tars, or pictures.

    Raises:
        SourceFormatError: Parquet files and tars.
    """
    tables = tars = False
    for file in tree.files():
        tables = tables or is_table(file.path)
        tars = tars or file.path.lower().endswith(".tar")
    if tables and tars:
        raise SourceFormatError(
            f"The data set {tree.name} holds Parquet files and tars.",
            'Set layout in [data.source] to "parquet" or "webdataset".',
        )
    return "parquet" if tables else "webdataset" if tars else "folder"
