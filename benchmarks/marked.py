"""Documents with figures that a command makes: what stands between two marks is replaced, the words around it stay."""

from __future__ import annotations

from pathlib import Path

from paris.experts.files import write_whole


def replace_between(path: Path, begin: str, body: str, end: str) -> None:
    """Put figures between their marks.

    Args:
        path: The document.
        begin: The line before them, with its end.
        body: The figures, whole lines.
        end: The line after them, with its end.

    Raises:
        ValueError: The document has not each mark once, in this order; it is left as it was.
    """
    text = path.read_text("utf-8")
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed or begin in rest:
        raise ValueError(f"{path} must have {begin.strip()!r} once, and {end.strip()!r} after it.")
    write_whole(path, (before + begin + body + end + after).encode())
