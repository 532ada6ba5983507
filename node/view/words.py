"""Figures in words, for people."""

from __future__ import annotations


def duration_in_words(seconds: float) -> str:
    """A time for people, such as "40 minutes"."""
    for unit, unit_s in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}s"
    return "a minute" if seconds >= 50 else f"{max(1, round(seconds))} s"
