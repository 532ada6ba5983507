"""The table of replayed stretches in docs/threat-model.md, from benchmarks/results/replay.json.

`python -m benchmarks.replay_table`
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.marked import replace_between
from benchmarks.record import RESULTS

_DOC = Path(__file__).resolve().parents[1] / "docs" / "threat-model.md"
_BEGIN = "<!-- replay figures: python -m benchmarks.replay_table -->\n"
_END = "<!-- end of replay figures -->\n"
_WORST = {"honest": max, "cheat": min}
"""Of several places of a training the one that is nearest to the bound."""


def table(result: dict[str, Any]) -> str:
    """Distance of the weights by case, precision and length of the stretch.

    Args:
        result: The result of `benchmarks.replay`.

    Returns:
        Markdown.
    """
    rows, lengths, machine = result["rows"], result["lengths"], result["machine"]
    precisions = list(dict.fromkeys(row["precision"] for row in rows))
    heads = [f"{precision}, {length}" for precision in precisions for length in lengths]
    lines = [f"| steps | {' | '.join(heads)} |", f"| --- | {' | '.join('---' for _ in heads)} |"]
    for case, kind in dict.fromkeys((row["case"], row["kind"]) for row in rows):
        cells = [
            _cell(kind, [row["weights"] for row in rows if _is_at(row, case, precision, length)])
            for precision in precisions
            for length in lengths
        ]
        lines.append(f"| {kind}: {case} | {' | '.join(cells)} |")
    where = f"{machine['processor']}, torch {machine['versions']['torch']}"
    return "\n".join([*lines, "", f"Measured by `{result['command']}` on {where}.", ""])


def _is_at(row: dict[str, Any], case: str, precision: str, length: int) -> bool:
    return (row["case"], row["precision"], row["steps"]) == (case, precision, length)


def _cell(kind: str, values: list[float]) -> str:
    if not values:
        return ""
    return f"{_WORST[kind](values):.2g}"


def main() -> int:
    """Write the table."""
    replace_between(_DOC, _BEGIN, table(json.loads((RESULTS / "replay.json").read_text())), _END)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
