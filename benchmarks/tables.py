"""The README's table of training speed, from the result that measured it: `python -m benchmarks.tables`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS
from paris.experts.files import write_whole

_README = Path(__file__).resolve().parents[1] / "README.md"
_BEGIN = "<!-- model figures: python -m benchmarks.tables -->\n"
_END = "<!-- end of model figures -->\n"


def training_table(result: dict[str, Any]) -> str:
    """One training step, ours beside the plain implementation.

    Args:
        result: What `benchmarks.train_step` wrote.

    Returns:
        Markdown.
    """
    rows, settings, machine = result["rows"], result["settings"], result["machine"]
    columns = {name: [rows[name][who] for who in ("ours", "plain")] for name in ("step_s", "optimizer_s")}
    memory = [f"{rows['peak_memory_bytes'][who] / 2**30:.1f} GiB" for who in ("ours", "plain")]
    share = [f"{rows['share_of_peak'][who]:.0%}" for who in ("ours", "plain")]
    compiled = "compiled" if settings["compile"] else "not compiled"
    shape = f"{settings['preset']}, batch {settings['batch']}, {settings['precision']}, {compiled}"
    where = f"{machine['cores']} cores, torch {machine['versions']['torch']}"
    lines = [
        f"| one training step ({shape}; {where}) | ours | plain |",
        "| --- | --- | --- |",
        "| time, median | " + " | ".join(f"{value:.1f} s" for value in columns["step_s"]) + " |",
        "| of it the optimizer | " + " | ".join(f"{value:.2f} s" for value in columns["optimizer_s"]) + " |",
        f"| share of the machine's matrix-product peak | {' | '.join(share)} |",
        f"| peak memory | {' | '.join(memory)} |",
        f"| ratio of the times, median of {settings['rounds']} pairs | {rows['ratio']:.2f} | |",
        f"| largest difference of an output, of a gradient | {rows['difference']['output']:.1e}, "
        f"{rows['difference']['gradient']:.1e} | |",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Replace what stands between the marks in the README."""
    table = training_table(json.loads((RESULTS / "train_step.json").read_text("utf-8")))
    before, rest = _README.read_text("utf-8").split(_BEGIN)
    after = rest.split(_END)[1]
    write_whole(_README, (before + _BEGIN + table + _END + after).encode())
    print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
