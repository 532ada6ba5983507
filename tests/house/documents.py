"""The project's Markdown as data: files, code blocks, links, headings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
_INLINE = re.compile(r"`([^`\n]+)`")
SHELL = {"bash", "sh", "console", "shell"}


@dataclass(frozen=True)
class Block:
    """One fenced block: its language and text."""

    language: str
    text: str


def markdown_files() -> list[Path]:
    """Every document of the project itself, not of what is installed beside it."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")])


def blocks(path: Path) -> list[Block]:
    """Fenced code blocks."""
    return [Block(*match) for match in _FENCE.findall(path.read_text("utf-8"))]


def prose(path: Path) -> str:
    """The text without its fenced blocks."""
    return _FENCE.sub("", path.read_text("utf-8"))


def links(path: Path) -> list[str]:
    """Targets of inline links and pictures, without code."""
    return _LINK.findall(_INLINE.sub("", prose(path)))


def inline_code(path: Path) -> list[str]:
    """What stands between single backticks."""
    return _INLINE.findall(prose(path))


def anchors(path: Path) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+\s+(.+?)\s*$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
