"""What a survey found: plain numbers, from which choices.py decides."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from paris.coordinator.prepare.sources.settings import OwnSource


@dataclass(frozen=True)
class Captions:
    """The captions of the listed rows."""

    own: int
    """Rows with a caption of their own."""
    classes_only: int
    """Rows without one whose class has a name: a folder, a `.cls`, a ClassLabel."""
    without: int
    """Rows with neither."""
    distinct: int
    """Different captions, classes included; not counted beyond `texts.MAX_DISTINCT`."""
    several: int
    """Rows with more than one caption."""
    origins: dict[str, int] = field(default_factory=dict)
    """Rows by origin: "sidecar", "metadata", "column", "class"."""
    class_names: dict[str, int] = field(default_factory=dict)
    """Rows of each class among `classes_only`, the largest first; not counted beyond `texts.MAX_CLASSES`."""
    words_median: int = 0
    words_p95: int = 0
    words_longest: int = 0
    """Words of a caption."""
    language: str = ""
    """What the captions are mostly written in, in words: "English", "Latin script", "Chinese or Japanese"; empty
    without captions."""
    examples: tuple[str, ...] = ()
    fields_seen: tuple[str, ...] = ()
    """Names of the fields of rows without a caption of their own, any of which may hold it."""


@dataclass(frozen=True)
class Pictures:
    """A sample of the rows, decoded."""

    sampled: int
    sides: tuple[int, ...] = ()
    """Shorter side of each picture that could be decoded, px, ascending."""
    aspects: tuple[float, ...] = ()
    """Longer side over shorter, ascending."""
    faults: dict[str, int] = field(default_factory=dict)
    """Pictures that `prepare` would leave out at any setting, by reason."""
    duplicates: int = 0
    """Pictures with the bytes of an earlier one of the sample."""
    near_duplicates: int = 0
    """Further pictures that are nearly an earlier one."""
    formats: dict[str, int] = field(default_factory=dict)
    """Pictures by format and mode: "PNG RGBA"."""

    @property
    def usable(self) -> int:
        """Pictures that could be decoded and are no copies."""
        return len(self.sides) - self.duplicates

    def side_at(self, share: float) -> int:
        """The shorter side that this share of the pictures does not reach, px; 0 without pictures."""
        return self.sides[min(len(self.sides) - 1, int(share * len(self.sides)))] if self.sides else 0

    def aspect_at(self, share: float) -> float:
        """The aspect that this share of the pictures does not reach; 0 without pictures."""
        return self.aspects[min(len(self.aspects) - 1, int(share * len(self.aspects)))] if self.aspects else 0.0

    def share_below(self, side_px: int) -> float:
        """Share of the pictures whose shorter side is below a side."""
        return bisect_left(self.sides, side_px) / len(self.sides) if self.sides else 0.0

    def share_longer(self, aspect: float) -> float:
        """Share of the pictures with a larger ratio of sides."""
        return 1 - bisect_left(self.aspects, aspect + 1e-9) / len(self.aspects) if self.aspects else 0.0


@dataclass(frozen=True)
class SourceState:
    """The files of a source at one time."""

    place: dict[str, Any]
    """The settings that decide which files are read."""
    num_files: int
    digest: str
    """Of all files with their sizes and times; of a Hub's repo its commit."""
    files: Mapping[str, str] | None
    """Version of each file; None if they are too many."""


@dataclass(frozen=True)
class Survey:
    """What a source holds."""

    source: OwnSource
    """Its settings, as far as they follow from its files: kind, place, revision, included files, caption column."""
    place: str
    """The path or name that was given."""
    rows: int
    """Pictures listed, without those in `dropped`."""
    dropped: dict[str, int]
    """Files and rows that the listing leaves out, by reason."""
    captions: Captions
    pictures: Pictures
    licences: dict[str, int]
    """Rows by licence, the most frequent first; "unknown" for rows without one."""
    opted_out: int
    """Rows that opt out of training."""
    card_licence: str = ""
    """Licence of the data set's card on a Hub, or empty."""
    splits: dict[str, int] = field(default_factory=dict)
    """Files of each split, if the source has splits."""
    notes: tuple[str, ...] = ()
    """Sentences about what was decided on the way."""
    state: SourceState | None = None
    """The files, before they were looked at."""

    def rows_with(self, kind: str) -> int:
        """Rows as of `listed_with` that can be expected to be decoded and to be no copies."""
        share = self.pictures.usable / self.pictures.sampled if self.pictures.sampled else 0.0
        return math.floor(self.listed_with(kind) * share)

    def listed_with(self, kind: str) -> int:
        """Rows by their captions.

        Args:
            kind: "own" captions; "class", own captions or names of classes; "none", no captions needed.
        """
        captions = self.captions
        by_kind = {"own": captions.own, "class": captions.own + captions.classes_only, "none": self.rows}
        return by_kind[kind]
