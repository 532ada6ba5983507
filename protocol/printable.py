"""Texts of strangers on a terminal: control characters are shown, never carried out."""

from __future__ import annotations

import re

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""All but tab and line break: escape sequences, carriage returns, and marks that turn the direction of text."""


def printable(text: str) -> str:
    """The text with control characters as escapes.

    An escape sequence could rename the terminal, hide an error, or paste a command.
    """
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def on_one_line(text: str) -> str:
    """The printable text with each run of white space as one space, for values inside a sentence."""
    return " ".join(printable(text).split())
