"""Replaces generated figures between two marks of a document."""

from __future__ import annotations

from pathlib import Path

from paris.experts.files import write_whole


def replace_between(path: Path, begin: str, body: str, end: str) -> None:
    """Replace the text between two marks.

    Args:
        path: The document.
        begin: The opening mark, a line with its newline.
        body: The new text, whole lines.
        end: The closing mark, a line with its newline.

    Raises:
        ValueError: The marks are not there exactly once in this order; the document is unchanged.
    """
    text = path.read_text("utf-8")
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed or begin in rest:
        raise ValueError(f"{path} must have {begin.strip()!r} once, and {end.strip()!r} after it.")
    write_whole(path, (before + begin + body + end + after).encode())
