"""Findings for people, in any width, and for programs."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap

from paris.node.doctor.finding import Finding, Level
from paris.protocol.printable import on_one_line

_NARROW = 60
_LEVEL_WIDTH = len(Level.PROBLEM) + 2


def as_json_line(finding: Finding) -> str:
    """One object on one line."""
    return json.dumps(
        {
            "check": finding.name,
            "passed": finding.level is not Level.PROBLEM,
            "level": finding.level,
            "text": finding.text,
            "next_step": finding.next_step,
            "error_code": finding.error_code,
        }
    )


def as_lines(finding: Finding, width: int | None) -> list[str]:
    """Level, name and text, and what to do in a paragraph of its own.

    Args:
        finding: Its texts may be a stranger's: they are shown without control characters.
        width: Columns to fill; None: one line each, however long.
    """
    code = f" [{finding.error_code}]" if finding.error_code else ""
    text = f"{finding.level:<{_LEVEL_WIDTH}}{on_one_line(finding.name)}{code}: {on_one_line(finding.text)}"
    step = f"to do: {on_one_line(finding.next_step)}" if finding.next_step else ""
    indent = " " * (2 if width is not None and width < _NARROW else _LEVEL_WIDTH)
    if width is None:
        return [text, *([indent + step] if step else [])]
    lines = textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)
    return lines + textwrap.wrap(step, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def summary(findings: list[Finding]) -> str:
    """The last line."""
    problems = sum(finding.level is Level.PROBLEM for finding in findings)
    warnings = sum(finding.level is Level.WARNING for finding in findings)
    if not problems and not warnings:
        return "Nothing is wrong."
    return f"Problems: {problems}, warnings: {warnings}."


def terminal_width() -> int | None:
    """Columns of standard output; None where it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


class Progress:
    """What is being looked at, on one line of standard error that is wiped again; silent where that is no terminal."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()
        self._width = shutil.get_terminal_size().columns

    def show(self, name: str) -> None:
        """Name the look that begins."""
        if self._is_shown:
            sys.stderr.write(f"\r{f'looking at {name} ...'[: self._width - 1]}")
            sys.stderr.flush()

    def wipe(self) -> None:
        """Remove the line."""
        if self._is_shown:
            sys.stderr.write(f"\r{' ' * (self._width - 1)}\r")
            sys.stderr.flush()
