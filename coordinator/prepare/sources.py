"""From the source's settings to the list of its pictures."""

from __future__ import annotations

from collections import Counter

from paris.coordinator.prepare.config import Source, TwemojiSource
from paris.coordinator.prepare.folder import read_folder
from paris.coordinator.prepare.items import Item, SourceInfo
from paris.coordinator.prepare.twemoji import TWEMOJI, read_twemoji


def read_source(source: Source) -> tuple[list[Item], SourceInfo, Counter[str]]:
    """List what a source offers.

    Returns:
        The items in any order, what is said of the whole, and how many pictures were left out by reason.

    Raises:
        PrepareError: The source is missing, empty or malformed.
    """
    if isinstance(source, TwemojiSource):
        return read_twemoji(source), TWEMOJI, Counter()
    items, dropped = read_folder(source)
    return items, SourceInfo(source.name, source.licence, source.attribution), dropped
