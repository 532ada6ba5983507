"""Result files benchmarks/results/NAME.json, with machine, versions and date of the measurement.

NAME.json
    {"name": "train_step", "date": "2025-01-31", "command": "python -m benchmarks.train_step", "seeds": [0],
     "machine": {"system": ..., "cores": 2, "versions": {...}}, "rows": [...], ...}
"""

from __future__ import annotations

import datetime
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paris.coordinator.report.facts import machine_facts
from paris.experts.files import write_whole

RESULTS = Path(__file__).parent / "results"
"""Results shown in README and docs."""


def write_result(
    name: str,
    rows: Sequence[Mapping[str, Any]] | Mapping[str, Any],
    *,
    seeds: Sequence[int] = (0,),
    out: Path | None = None,
    **extra: Any,
) -> Path:
    """Write what one benchmark measured.

    Args:
        name: The benchmark, as in `python -m benchmarks.NAME`.
        rows: The figures.
        seeds: Of everything random in it.
        out: The file to make or replace; None takes benchmarks/results/NAME.json.
        extra: What else belongs to the figures: shapes, counts, how the peak was measured.

    Returns:
        The file.
    """
    path = out or RESULTS / f"{name}.json"
    content = {
        "name": name,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": command_of(name),
        "seeds": list(seeds),
        "machine": described_machine(),
        **extra,
        "rows": rows,
    }
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())
    return path


def command_of(name: str) -> str:
    """The command that runs now, each path in it as `...`: paths of this machine stay out of the results.

    Args:
        name: The benchmark, as in `python -m benchmarks.NAME`.
    """
    return " ".join(["python -m", f"benchmarks.{name}", *("..." if "/" in word else word for word in sys.argv[1:])])


def described_machine(device: str = "cpu") -> dict[str, Any]:
    """The machine, its processor by name, and the versions.

    Args:
        device: A GPU is named too where the benchmark ran on one.
    """
    found = {**machine_facts(), "processor": processor_name()}
    if device.startswith("cuda"):
        import torch

        found["gpu"] = torch.cuda.get_device_name(device)
    return found


def processor_name() -> str:
    """The processor as the system names it; Python's own name for it is mostly the architecture alone."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def as_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns for the terminal: the first to the left, the others to the right.

    Args:
        headings: One a column.
        rows: Cells, as many a row as there are headings.
    """
    widths = [max(len(line[i]) for line in (headings, *rows)) for i in range(len(headings))]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join([first, *others]).rstrip()

    return "\n".join([line(headings), line(["-" * width for width in widths]), *(line(row) for row in rows)])
