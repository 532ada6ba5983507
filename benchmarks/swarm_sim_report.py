"""Tables of docs/simulation.md and their plot, from the result of `benchmarks.swarm_sim`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.marked import replace_between
from benchmarks.record import RESULTS
from paris.experts.files import whole_file

Rows = list[dict[str, Any]]
_ROOT = Path(__file__).resolve().parents[1]
_DOC, _PICTURE = _ROOT / "docs" / "simulation.md", _ROOT / "docs" / "pictures" / "swarm-sim.png"
_NAMES = {"paris": "Paris", "adaptive": "adaptive replication", "quorum": "quorum of two"}
_MARK = "python -m benchmarks.swarm_sim"


def write_report(rows: Rows) -> None:
    """Write the tables into docs/simulation.md, and draw the plot.

    Args:
        rows: Of swarm_sim.json.
    """
    tables = {"checked": checked_table(rows), "sizes": size_table(rows), "room": room_table(rows)}
    for name, table in tables.items():
        replace_between(_DOC, f"<!-- {name}: {_MARK} -->\n", table, f"<!-- end of {name} -->\n")
    draw(rows, _PICTURE)


def checked_table(rows: Rows) -> str:
    """What each way to check costs, and lets through, at 30 volunteers."""
    lines = [
        "| cheats | checked by | days | wasted | audits, replays | switched off | given up | wrong steps accepted | "
        "cheats found | with work |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in sorted(_of(rows, volunteers=30), key=lambda row: (row["malice"], _order(row))):
        again = row["audited_share"] + row["replayed_share"]
        cells = (
            f"{row['malice']:.0%}",
            _NAMES[row["scheme"]],
            _days(row),
            _wasted(row),
            f"{again:.1%}",
            f"{row['switched_off_share']:.1%}",
            f"{row['given_up_share']:.1%}",
            f"{row['wrong_share']:.2%}",
            f"{row['cheats_found']} of {row['cheats']}",
            f"{row['with_work_share']:.0%}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def size_table(rows: Rows) -> str:
    """Makespan and waste over the number of volunteers, half as many experts, 5 % cheats."""
    sizes = sorted({row["volunteers"] for row in rows if row["lanes"] == 1 and row["malice"] == 0.05 and _is_run(row)})
    names = [_NAMES[scheme] for scheme in _NAMES]
    lines = [
        f"| volunteers | {' | '.join(f'{name}: days, wasted' for name in names)} | a tick, CPU ms | a write, CPU ms |",
        f"| --- | {' | '.join('---' for _ in names)} | --- | --- |",
    ]
    for size in sizes:
        found = {row["scheme"]: row for row in _of(rows, volunteers=size, malice=0.05)}
        cells = [f"{_days(found[one])}, {_wasted(found[one])}" if one in found else "-" for one in _NAMES]
        own = found.get("paris")
        cost = [f"{own['tick_cpu_ms']:.2f}", f"{own['save_cpu_ms']:.1f}"] if own else ["-", "-"]
        lines.append(f"| {size:,} | {' | '.join([*cells, *cost])} |")
    return "\n".join([*lines, ""])


def room_table(rows: Rows) -> str:
    """Which share of many volunteers has work, over K, with and without lanes."""
    many = [row for row in rows if not _is_run(row)]
    if not many:
        return "Not simulated yet.\n"
    lanes = sorted({row["lanes"] for row in many})
    heads = " | ".join("one at an expert" if one == 1 else f"{one} lanes an expert" for one in lanes)
    lines = [f"| experts K | {heads} |", f"| --- | {' | '.join('---' for _ in lanes)} |"]
    for k in sorted({row["experts"] for row in many}):
        found = {row["lanes"]: row for row in many if row["experts"] == k}
        cells = [f"{found[one]['with_work_share']:.1%}" if one in found else "-" for one in lanes]
        lines.append(f"| {k:,} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def draw(rows: Rows, path: Path) -> Path:
    """Plot waste over malice and over size, and who has work.

    Args:
        rows: Of swarm_sim.json.
        path: The PNG to write.

    Returns:
        The same path.
    """
    from matplotlib.figure import Figure

    many = [row for row in rows if not _is_run(row)]
    figure = Figure(figsize=(12 if many else 8, 4), layout="constrained")
    panels = figure.subplots(1, 3 if many else 2)
    waste, size = panels[:2]
    for scheme, name in _NAMES.items():
        one = sorted(_of(rows, volunteers=30, scheme=scheme), key=lambda row: row["malice"])
        waste.plot([100 * row["malice"] for row in one], [row["wasted_share"] for row in one], marker="o", label=name)
        one = sorted(_of(rows, malice=0.05, scheme=scheme), key=lambda row: row["volunteers"])
        size.plot([row["volunteers"] for row in one], [row["makespan_days"] for row in one], marker="o", label=name)
    waste.set(title="Work wasted, 30 volunteers", xlabel="cheats, %", ylabel="share of all trained steps", ylim=(0, 1))
    size.set(title="Days until all experts are there", xlabel="volunteers", ylim=(0, None))
    if many:
        _draw_room(panels[2], many)
    for panel in panels:
        panel.grid(alpha=0.3)
        panel.legend(frameon=False)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=110, format="png")
    return path


def _draw_room(panel: Any, many: Rows) -> None:
    """Who has work, of 10,000."""
    for lanes in sorted({row["lanes"] for row in many}):
        one = sorted((row for row in many if row["lanes"] == lanes), key=lambda row: row["experts"])
        label = "one at an expert" if lanes == 1 else f"{lanes} lanes"
        panel.plot([row["experts"] for row in one], [row["with_work_share"] for row in one], marker="o", label=label)
    panel.set(title="10,000 volunteers: with work", xlabel="experts K", xscale="log", ylabel="share", ylim=(0, 1))


def _of(rows: Rows, **fields: Any) -> Rows:
    return [row for row in rows if _is_run(row) and all(row[name] == value for name, value in fields.items())]


def _is_run(row: dict[str, Any]) -> bool:
    """Whether a row is of a whole run, not of one day of many volunteers."""
    return bool(row["days"] > 1)


def _days(row: dict[str, Any]) -> str:
    return "-" if row["makespan_days"] is None else f"{row['makespan_days']:.1f}"


def _wasted(row: dict[str, Any]) -> str:
    return "-" if row["wasted_share"] is None else f"{row['wasted_share']:.1%}"


def _order(row: dict[str, Any]) -> int:
    return list(_NAMES).index(row["scheme"])


if __name__ == "__main__":
    write_report(json.loads((RESULTS / "swarm_sim.json").read_text())["rows"])
    sys.exit(0)
