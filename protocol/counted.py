"""A number with its word, as people write it: 1 volunteer, 2 volunteers."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """A number and what it counts.

    Args:
        number: How many.
        one: The word for one of them; verbs may follow, as in "expert is".
        many: The words for any other number; default: `one` with an s.
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
