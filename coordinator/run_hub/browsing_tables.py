"""What is on a Hub as tables in the terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from paris.protocol.printable import on_one_line, printable

_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_METADATA = re.compile(r"---\s*\n.*?\n---\s*\n", re.DOTALL)
_FILES_SHOWN = 100
_COMMIT_CHARS = 12
_DAY_CHARS = 10


def print_repos(rows: list[dict[str, Any]]) -> None:
    """The repositories of a Hub."""
    _print_table(
        ("repository", "changed", "tags"),
        (
            (
                row["repo"] + (" (private)" if row["private"] else ""),
                row["changed_at"][:_DAY_CHARS],
                ", ".join(row["tags"]),
            )
            for row in rows
        ),
        "" if rows else "There is no repository that you may see.",
    )


def print_repo(repo: dict[str, Any]) -> None:
    """A repository: its card, then tables."""
    from rich.console import Console

    console = Console()
    console.print(f"{on_one_line(repo['repo'])} at {repo['commit'][:_COMMIT_CHARS]}", markup=False, highlight=False)
    _print_markdown(_below_metadata(repo["card"] or ""))
    print_files(repo["files"])
    refs = ((ref["kind"], ref["name"], ref["commit"][:_COMMIT_CHARS]) for ref in repo["refs"])
    _print_table(("kind", "name", "commit"), refs)
    pulls = repo["pull_requests"]
    if pulls:
        rows = (
            (f"#{pull['number']}", pull["title"], pull["author"], pull["outcome"] or pull["status"]) for pull in pulls
        )
        _print_table(("", "pull request or discussion", "by", "status"), rows)


def print_path(found: dict[str, Any]) -> None:
    """A folder, a header, or a text."""
    from rich.console import Console

    if "files" in found:
        print_files(found["files"])
        return
    sha256 = f", sha256 {found['sha256']}" if found["sha256"] else ""
    Console().print(f"{on_one_line(found['path'])}: {size_text(found['bytes'])}{sha256}", markup=False, highlight=False)
    if "tensors" in found:
        rows = (
            (t["name"], t["dtype"], " x ".join(map(str, t["shape"])), size_text(t["bytes"])) for t in found["tensors"]
        )
        _print_table(("tensor", "type", "shape", "size"), rows, f"{len(found['tensors'])} tensors")
    elif found["text"] is None:
        Console().print("It is no text, or too large to be shown.")
    elif found["path"].endswith(".md"):
        _print_markdown(_below_metadata(found["text"]))
    else:
        Console().print(printable(found["text"]), markup=False, highlight=False, soft_wrap=True)


def print_pull_request(pull: dict[str, Any]) -> None:
    """A pull request with its comments."""
    from rich.console import Console

    console = Console()
    head = f"#{pull['number']} {pull['title']}, by {pull['author']}: {pull['outcome'] or pull['status']}"
    console.print(on_one_line(head), markup=False, highlight=False)
    for comment in pull["comments"]:
        console.print(f"\n{on_one_line(comment['author'])}, {comment['created_at'][:16]}", style="bold", markup=False)
        _print_markdown(comment["text"])


def print_files(files: list[dict[str, Any]]) -> None:
    """Files with their sizes."""
    rows = (
        (file["path"], "folder" if file["bytes"] is None else size_text(file["bytes"])) for file in files[:_FILES_SHOWN]
    )
    left_out = len(files) - _FILES_SHOWN
    _print_table(("file", "size"), rows, f"and {left_out} more: --json" if left_out > 0 else "")


def size_text(number: float) -> str:
    """Bytes for people."""
    for size, unit in _UNITS:
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f} bytes"


def _print_table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]], caption: str = "") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(caption=caption)
    for column in columns:
        table.add_column(column, justify="right" if column == "size" else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(on_one_line(cell)) for cell in row))
    Console().print(table)


def _print_markdown(text: str) -> None:
    from rich.console import Console
    from rich.markdown import Markdown

    # Without links that a terminal opens: their targets are written out.
    Console().print(Markdown(printable(text), hyperlinks=False))


def _below_metadata(card: str) -> str:
    """A card without the YAML at its top."""
    found = _METADATA.match(card)
    return card[found.end() :] if found else card
