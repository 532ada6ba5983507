"""Trials of `benchmarks.attacks`, kept in benchmarks/results/attacks.json as they come; one line a submission.

attacks.json
    {"name": "attacks", "date": ..., "machine": {...},
     "rows": {"attack: half of the steps": {"seed": [0, 1, ...], "refused_by": ["", "skill/gain-of-peers", ...],
              "figure": [...], "bound": [...], "made_cpu_s": [...], "judged_cpu_s": [...]}, ...}}
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

from paris.experts.files import write_whole

COLUMNS = ("seed", "refused_by", "figure", "bound", "made_cpu_s", "judged_cpu_s", "honest_cpu_s")
_Z = 1.959964
"""Of a two-sided interval at 95 %."""


class Trials:
    """The trials of one file.

    Args:
        path: Read if it is there, and replaced by `save`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: dict[str, dict[str, list[Any]]] = {}
        if path.is_file():
            self.rows = json.loads(path.read_text("utf-8"))["rows"]

    def has(self, name: str, seed: int) -> bool:
        """Whether this submission was judged with this seed."""
        return seed in self.rows.get(name, {}).get("seed", [])

    def add(self, trial: dict[str, Any]) -> None:
        """Keep one more, as attacks_seed.py prints it."""
        row = self.rows.setdefault(trial["name"], {column: [] for column in COLUMNS})
        for column in COLUMNS:
            row[column].append(trial[column])

    def forget(self, names: set[str]) -> None:
        """Drop the trials of these submissions, which are to be run again."""
        self.rows = {name: row for name, row in self.rows.items() if name not in names}

    def save(self, about: dict[str, Any], order: list[str]) -> None:
        """Write everything.

        Args:
            about: Date, command, machine.
            order: The names, in the order of the catalogue; others are dropped.
        """
        kept = [name for name in order if name in self.rows]
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(self.rows[name])}" for name in kept)
        head = json.dumps({"name": "attacks", **about}, indent=1).removesuffix("\n}")
        write_whole(self._path, f'{head},\n "rows": {{\n{lines}\n }}\n}}\n'.encode())


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Wilson's interval of a share, at 95 %.

    Args:
        hits: At most `trials`.
        trials: At least 1.
    """
    share, z2 = hits / trials, _Z * _Z
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials))
    return max(0.0, centre - half), min(1.0, centre + half)


def most_common_check(row: dict[str, list[Any]]) -> str:
    """The check that refused it most often; empty where none did."""
    refusals = Counter(code for code in row["refused_by"] if code)
    return refusals.most_common(1)[0][0] if refusals else ""
