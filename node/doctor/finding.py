"""One finding: what was looked at, how it is, why, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from paris.node.errors import explain


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """A join works, but worse than it could."""
    PROBLEM = "problem"
    """A join would fail, or do no work."""


@dataclass(frozen=True)
class Finding:
    """What one look says."""

    name: str
    """Of the look, such as "disk"."""
    level: Level
    text: str
    """What is there; for a problem, its cause. May hold texts of strangers."""
    next_step: str = ""
    """What to do, empty where nothing is to be done."""
    error_code: str = ""
    """Of the error that says it, as in docs/errors; empty where no error does."""


def fine(name: str, text: str) -> Finding:
    """A finding that needs nothing."""
    return Finding(name, Level.OK, text)


def warning(name: str, text: str, next_step: str) -> Finding:
    """A finding with which a join works, but worse."""
    return Finding(name, Level.WARNING, text, next_step)


def problem(name: str, text: str, next_step: str) -> Finding:
    """A finding with which a join fails."""
    return Finding(name, Level.PROBLEM, text, next_step)


def failed(name: str, error: BaseException) -> Finding:
    """The finding of a look that raised."""
    told = explain(error)
    return Finding(name, Level.PROBLEM, told.what, told.next_step, told.error_code)
