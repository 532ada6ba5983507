"""Settings of a preparation, closed and frozen.

Only settings that change the result are here. Where the work runs (one machine, a Ray cluster) is an argument of
`prepare`, so that equal settings mean equal data.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from paris.coordinator.prepare.errors import PrepareConfigError
from paris.coordinator.prepare.rows.licences import allowed_name
from paris.coordinator.prepare.sources.settings import Source, TwemojiSource
from paris.protocol.canonical import canonical_bytes, digest
from paris.protocol.limits import MAX_CLUSTERS

Scalar = bool | int | float | str
_HELDOUT_ROWS = 12
_SINCE_0_1_0: dict[str, dict[str, Any]] = {
    "twemoji": {},
    "folder": {"caption_column": None, "class_captions": False},
    "webdataset": {"caption_column": None, "class_captions": False},
    "parquet": {"class_captions": False},
    "hub": {"class_captions": False, "split": "train"},
}


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PrepareConfig(_Closed):
    """Settings of one preparation. The same source, settings and seed give the same manifest digests."""

    source: Source = TwemojiSource()
    """Source of pictures and captions."""
    image_size: Annotated[int, Field(ge=8, le=4096)] = 32
    """Side in pixels of the encoded square; pictures are cropped at the centre and scaled."""
    num_clusters: Annotated[int, Field(ge=1, le=MAX_CLUSTERS)] = 4
    """K: the number of clusters, and so of experts."""
    num_fine_centroids: Annotated[int, Field(ge=1, le=2**16)] = 1024
    """Centroids of the first k-means; at most a third of the rows are used."""
    balance: Annotated[float, Field(ge=1.0, le=2.0)] | Literal["free"] = 1.1
    """Bound on the largest cluster over the mean size, and correspondingly on the smallest; "free": no bounds."""
    catch_all: Annotated[float, Field(ge=1.0)] = 2.5
    """With balance = "free": size over the mean above which a cluster is a catch-all and is split."""
    embedder: str = "efficientnet-lite0"
    """Name or folder of the frozen picture embedder, for `paris.experts.frozen.features.load_embedder`."""
    view_px: Annotated[int, Field(ge=16, le=1024)] = 128
    """Side in pixels of the embedder's input."""
    codec: dict[str, Scalar] = {"kind": "pixels"}
    """Fields of `paris.experts.frozen.codec.CodecConfig`: pixels, or the latents of a VAE."""
    heldout_rows: Annotated[int, Field(ge=1)] | None = None
    """Secret rows of each cluster, which are never published; 12 if neither this nor the fraction is set."""
    heldout_fraction: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    """Secret fraction of each cluster, instead of a number of rows."""
    shard_bytes: Annotated[int, Field(ge=1024, le=2**30)] = 64 * 2**20
    """Approximate size of a shard before compression; the last shard of a cluster may be smaller."""
    rows_per_shard: Annotated[int, Field(ge=1)] | None = None
    """Rows of a shard, instead of bytes."""
    tokenizer: str = ""
    """Folder of the run's tokenizer, beside its VAE; shards then contain the token ids of the captions."""
    max_tokens: Annotated[int, Field(ge=1, le=4096)] = 77
    """Longest caption in tokens; longer ones are cut."""
    max_images: Annotated[int, Field(ge=1)] | None = None
    """Largest number of training pictures, chosen by the seed; None takes all."""
    captions: bool = True
    """Whether a row needs a caption. False for experts without text: rows are taken with and without one."""
    captioner: str | None = None
    """Name or folder of a BLIP or BLIP-2 model that captions pictures without a caption; None drops them."""
    captioner_revision: str | None = None
    """Branch, tag or commit of the captioner on the Hub; None: its newest."""
    licences: tuple[str, ...] = ()
    """Allowed licences, under any usual name ("cc-by" allows all its versions); empty allows all."""
    near_duplicate_bits: Annotated[int, Field(ge=0, le=8)] | None = None
    """Drop a picture with the colours of an earlier one whose 64-bit perceptual hash differs in at most this many bits;
    None keeps all."""
    max_aspect: Annotated[float, Field(ge=1)] | None = None
    """Drop pictures with a larger ratio of the longer to the shorter side; None keeps all."""
    min_side_px: Annotated[int, Field(ge=1)] = 16
    """Drop pictures with a shorter side."""
    max_image_pixels: Annotated[int, Field(ge=1)] = 64_000_000
    """Drop pictures with more pixels, before they are decoded (decompression bombs)."""
    max_bad_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Largest share of rows whose caption, metadata or name cannot be read, of all rows; they are dropped."""
    max_vocab_words: Annotated[int, Field(ge=1)] = 8192
    """Size of vocab.json: the most frequent words of the captions."""
    vocabulary: bool = True
    """Write vocab.json; False with a pretrained text encoder."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seeds k-means, the choice of held-out rows, and the order of rows in shards."""

    @field_validator("source", mode="before")
    @classmethod
    def _named_source(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @field_validator("licences", mode="before")
    @classmethod
    def _list_of_licences(cls, value: Any) -> Any:
        """Accept one comma-separated text, as on the command line; make the names canonical."""
        names = value.split(",") if isinstance(value, str) else value
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name.strip() for name in names):
            raise ValueError("a list of names, as cc-by,cc0")
        return tuple(sorted({allowed_name(name) for name in names}))

    @field_validator("captioner")
    @classmethod
    def _captions_are_read(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and not info.data.get("captions", True):
            raise ValueError('the run has [text] kind = "none", so nothing would read the captions')
        return value

    @model_validator(mode="after")
    def _one_heldout_rule(self) -> PrepareConfig:
        if self.heldout_rows is not None and self.heldout_fraction is not None:
            raise ValueError("set heldout_rows or heldout_fraction, not both")
        return self

    def heldout_per_cluster(self, rows: int) -> int:
        """Number of held-out rows of a cluster with this number of rows."""
        if self.heldout_fraction is not None:
            return max(1, math.ceil(rows * self.heldout_fraction))
        return self.heldout_rows or _HELDOUT_ROWS

    @property
    def sha256(self) -> str:
        """Digest of the settings that decide the result."""
        settings = self.model_dump(mode="json", exclude={"max_bad_share"})
        if self.captions:  # the digest of 0.1.0, as below
            del settings["captions"]
        source = settings["source"]
        for name, default in _SINCE_0_1_0[source["kind"]].items():
            if source[name] == default:  # the digest of 0.1.0, which had no such setting
                del source[name]
        return digest(canonical_bytes(settings))


def public_name(model: str) -> str:
    """The name of a model in published files; of a local folder only its last part, as the path is private."""
    return Path(model).resolve().name if Path(model).is_dir() else model


def prepare_config(settings: dict[str, Any]) -> PrepareConfig:
    """Validate settings from a file or a command line.

    Args:
        settings: Fields of `PrepareConfig`.

    Raises:
        PrepareConfigError: A field is unknown or out of its bounds; the message names it and its value.
    """
    try:
        return PrepareConfig.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "heldout_rows, heldout_fraction"
        if first["type"] == "extra_forbidden":
            raise PrepareConfigError(
                f"Unknown setting {field!r} in [data].", f"Known are {', '.join(PrepareConfig.model_fields)}."
            ) from error
        raise PrepareConfigError(
            f"Invalid setting {field} = {first.get('input')!r}: {first['msg']}.",
            "Correct it in [data], and prepare again.",
        ) from error
