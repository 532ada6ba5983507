"""Texts of strangers on a terminal: control characters are shown, never carried out."""

from __future__ import annotations

import unicodedata

_KEPT = "\t\n\u200c\u200d"
"""Tab, line break, and the joiners of Persian words and of emoji, which `str.isprintable` counts as not printable."""


def printable(text: str) -> str:
    """The text with escapes for control characters, marks of direction, and other characters without a picture.

    An escape sequence could rename the terminal, hide an error, or paste a command.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def on_one_line(text: str) -> str:
    """The printable text with each run of white space as one space, for values inside a sentence."""
    return " ".join(printable(text).split())


def _shown(letter: str) -> str:
    is_space = unicodedata.category(letter) == "Zs"  # no-break and wide spaces
    return letter if letter.isprintable() or is_space or letter in _KEPT else repr(letter)[1:-1]
