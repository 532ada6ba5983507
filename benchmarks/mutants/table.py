"""The scores as tables in docs/reliability.md, between its two comments: by group, with intervals, and by module."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

_BEGIN, _END = "<!-- mutants: python -m benchmarks.mutants -->", "<!-- end of mutants -->"
_Z = 1.959964
"""The normal distribution's quantile of a 95 % interval."""


def interval(killed: int, run: int) -> tuple[float, float]:
    """Bounds of the 95 % interval of a share that was measured on a sample.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).

    Args:
        killed: At most `run`.
        run: The sample, at least one.
    """
    share, spread = killed / run, _Z * _Z / run
    middle = share + spread / 2
    half = _Z * sqrt(share * (1 - share) / run + spread / (4 * run))
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def write_tables(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Put the scores into the document.

    Args:
        rows: Of benchmarks/results/mutants.json.
        path: The document; what is between its two comments is replaced.
    """
    groups = dict.fromkeys(row["group"] for row in rows)
    lines = ["| group | mutants | run | killed | score | 95 % interval |", "| --- | --- | --- | --- | --- | --- |"]
    for group in groups:
        lines.append(_group_line(group, [row for row in rows if row["group"] == group]))
    lines += [_group_line("all", rows), ""]
    lines += ["| module | mutants | run | killed |", "| --- | --- | --- | --- |"]
    lines += [f"| `{row['module']}` | {row['mutants']} | {row['run']} | {row['killed']} |" for row in rows]
    table = "\n".join((_BEGIN, *lines, _END))
    text = path.read_text("utf-8")
    path.write_text(re.sub(f"{_BEGIN}.*?{_END}", lambda _: table, text, flags=re.DOTALL), "utf-8")


def _group_line(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    mutants, run, killed = (sum(row[key] for row in rows) for key in ("mutants", "run", "killed"))
    low, high = interval(killed, run)
    return f"| {name} | {mutants} | {run} | {killed} | {killed / run:.0%} | {low:.0%} to {high:.0%} |"
