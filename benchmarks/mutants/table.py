"""The scores as a table in docs/reliability.md, between its two comments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_BEGIN, _END = "<!-- mutants: python -m benchmarks.mutants -->", "<!-- end of mutants -->"


def write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Put the scores into the document.

    Args:
        rows: Of benchmarks/results/mutants.json.
        path: The document; what is between its two comments is replaced.
    """
    lines = ["| module | mutants | run | killed | score |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        lines.append(_line(f"`{row['module']}`", row))
    total = {name: sum(row[name] for row in rows) for name in ("mutants", "run", "killed")}
    lines.append(_line("all", total))
    table = "\n".join((_BEGIN, *lines, _END))
    text = path.read_text("utf-8")
    path.write_text(re.sub(f"{_BEGIN}.*?{_END}", lambda _: table, text, flags=re.DOTALL), "utf-8")


def _line(name: str, row: Mapping[str, Any]) -> str:
    return f"| {name} | {row['mutants']} | {row['run']} | {row['killed']} | {row['killed'] / row['run']:.0%} |"
