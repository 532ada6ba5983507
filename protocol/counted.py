"""Numbers with their word, as people write them: 1 volunteer, 2 volunteers, steps 100 and 200."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, one: str, many: str = "") -> str:
    """A number and what it counts.

    Args:
        number: How many.
        one: The word for one of them; verbs may follow, as in "expert is".
        many: The words for any other number; default: `one` with an s.
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def numbered(one: str, numbers: Sequence[int]) -> str:
    """Which of a kind, by their numbers: step 100, steps 100 and 200.

    Args:
        one: The word for one of them.
        numbers: At least one.
    """
    return f"{one if len(numbers) == 1 else f'{one}s'} {' and '.join(map(str, numbers))}"
