"""Captions of a source, counted in one pass with bounded memory."""

from __future__ import annotations

import random
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from paris.coordinator.prepare.rows.items import Item
from paris.coordinator.proposal.findings import Captions

CLASS = "class"
MAX_DISTINCT = 200_000
MAX_CLASSES = 10_000
_KEPT = 1000
_EXAMPLES = 5
_WORD = re.compile(r"\w+")
_COMMON = frozenset(
    {
        *(
            "a",
            "an",
            "and",
            "are",
            "as",
            "at",
            "by",
            "for",
            "from",
            "has",
            "her",
            "his",
            "in",
            "into",
            "is",
            "it",
            "of",
        ),
        *(
            "its",
            "next",
            "on",
            "or",
            "over",
            "that",
            "the",
            "their",
            "this",
            "to",
            "two",
            "under",
            "up",
            "very",
            "while",
        ),
        *("who", "with"),
    }
)
"""English words that hold sentences together."""
_ENGLISH_SHARE = 0.15
_MOSTLY = 0.6
_SCRIPTS = {
    "LATIN": "Latin script",
    "CYRILLIC": "Cyrillic script",
    "GREEK": "Greek",
    "ARABIC": "Arabic script",
    "HEBREW": "Hebrew",
    "DEVANAGARI": "Devanagari script",
    "HANGUL": "Korean",
    "CJK": "Chinese or Japanese",
    "HIRAGANA": "Chinese or Japanese",
    "KATAKANA": "Chinese or Japanese",
    "THAI": "Thai",
}
UNSPACED = ("Chinese or Japanese", "Thai")
"""Written without spaces, so that a caption is one word."""


class CaptionCounts:
    """Counts the captions of rows, one after the other."""

    def __init__(self) -> None:
        self._origins: Counter[str] = Counter()
        self._classes: Counter[str] = Counter()
        self._lengths: Counter[int] = Counter()
        self._distinct: set[int] = set()
        self._fields: Counter[str] = Counter()
        self._kept: list[str] = []
        self._random = random.Random(0)
        self._rows = self._several = 0

    def add(self, item: Item) -> None:
        """Count one row, listed with the classes as captions of last resort."""
        self._rows += 1
        self._fields.update(name for name in item.names_seen.split(", ") if name)
        if not item.caption:
            return
        self._origins[item.caption_origin] += 1
        if item.caption_origin == CLASS and (item.caption in self._classes or len(self._classes) < MAX_CLASSES):
            self._classes[item.caption] += 1
        self._several += bool(item.more_captions)
        self._lengths[len(_WORD.findall(item.caption))] += 1
        if len(self._distinct) < MAX_DISTINCT:
            self._distinct.add(hash(item.caption))
        self._keep(item.caption)

    def counts(self) -> Captions:
        """What was counted."""
        captioned = self._origins.total()
        classes = self._origins[CLASS]
        return Captions(
            own=captioned - classes,
            classes_only=classes,
            without=self._rows - captioned,
            distinct=len(self._distinct),
            several=self._several,
            origins=dict(self._origins.most_common()),
            class_names=dict(self._classes.most_common()),
            words_median=_quantile(self._lengths, 0.5),
            words_p95=_quantile(self._lengths, 0.95),
            words_longest=max(self._lengths, default=0),
            language=language_of(self._kept),
            examples=tuple(dict.fromkeys(self._kept))[:_EXAMPLES],
            fields_seen=tuple(name for name, _ in self._fields.most_common()),
        )

    def _keep(self, caption: str) -> None:
        """Keep the caption in a sample of all, drawn evenly (Vitter 1985, algorithm R)."""
        if len(self._kept) < _KEPT:
            self._kept.append(caption)
            return
        place = self._random.randrange(self._origins.total())
        if place < _KEPT:
            self._kept[place] = caption


def _quantile(counts: Counter[int], share: float) -> int:
    """The smallest value that at least this share of the counted ones does not exceed."""
    wanted, seen = share * counts.total(), 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= wanted:
            return value
    return 0


def language_of(captions: Sequence[str]) -> str:
    """What captions are mostly written in, as far as the letters and the commonest English words tell."""
    letters: Counter[str] = Counter()
    for caption in captions:
        letters.update(_script(character) for character in caption if character.isalpha())
    if not letters:
        return ""
    script, count = letters.most_common(1)[0]
    if count < _MOSTLY * letters.total():
        return "several scripts"
    if script != _SCRIPTS["LATIN"]:
        return script
    words = [word for caption in captions for word in _WORD.findall(caption.casefold())]
    return "English" if sum(word in _COMMON for word in words) >= _ENGLISH_SHARE * len(words) else script


def _script(character: str) -> str:
    first = unicodedata.name(character, "").split(" ")[0]
    return _SCRIPTS.get(first, "another script")
