"""Sources of pictures, captions and their provenance.

settings.py    [data.source] of run.toml
twemoji.py     the Twemoji pictures of a package
folder.py      pictures with captions in sidecar files
metadata.py    the Hub's imagefolder metadata files
listing.py     joins a folder's files with their metadata
tars.py        WebDataset tars
tables.py      Parquet files with the bytes of the pictures
hub.py         a data set repo at a commit, with the contents of a folder, tars or Parquet files
fields.py      caption, author, licence and opt-out of a row's metadata
splits.py      the splits of a repo
policy.py      which files are pictures, texts, or neither
tree.py        the files of a source, and locations of rows
reading.py     from locations to bytes, inside Daft
row_bytes.py     the same without Daft
row_groups.py  single values of Parquet files
text_columns.py  texts of Parquet files, and names of classes
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
from paris.coordinator.prepare.sources.splits import SplitTree
from paris.coordinator.prepare.sources.tables import is_table, read_tables
from paris.coordinator.prepare.sources.tars import read_tars
from paris.coordinator.prepare.sources.tree import FolderTree, Tree
from paris.coordinator.prepare.sources.twemoji import TWEMOJI, read_twemoji


def source_info(source: Source) -> SourceInfo:
    """Name, licence and credit line of a source."""
    if isinstance(source, TwemojiSource):
        return TWEMOJI
    return SourceInfo(source.name, source.licence, source.attribution)


def require_source(source: Source) -> None:
    """Look whether a source is there, without listing its rows.

    Raises:
        PrepareError: It is missing, or its Hub does not answer.
    """
    if isinstance(source, TwemojiSource):
        read_twemoji(source)
    elif isinstance(source, HubSource):
        HubTree(source)
    else:
        FolderTree(source.path, source.include)


def read_source(source: Source) -> Iterator[Item | Dropped]:
    """List the rows of a source, in an order that depends on its files only.

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
    repo = HubTree(source)
    layout = _layout(repo) if source.layout == "auto" else source.layout
    tree: Tree = repo if source.include else SplitTree(repo, source.split)
    if layout == "parquet":
        yield from read_tables(tree, source)
    elif layout == "webdataset":
        yield from read_tars(tree, source)
    else:
        yield from read_pictures(tree, source)


def _layout(tree: HubTree) -> str:
    """The layout of a repo: "parquet", "webdataset" or "folder".

    Raises:
        SourceFormatError: The repo has both Parquet files and tars.
    """
    tables = tars = False
    for file in tree.files():
        if isinstance(file, Dropped):
            continue
        tables = tables or is_table(file.path)
        tars = tars or file.path.lower().endswith(".tar")
    if tables and tars:
        raise SourceFormatError(
            f"The data set {tree.name} has both Parquet files and tars.",
            'Set layout in [data.source] to "parquet" or "webdataset".',
        )
    return "parquet" if tables else "webdataset" if tars else "folder"
