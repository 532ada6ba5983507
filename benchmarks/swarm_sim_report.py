"""Tables of docs/simulation.md and their plot, from the result of `benchmarks.swarm_sim`."""

from __future__ import annotations

import json
import statistics
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
    tables = {"checked": checked_table(rows), "room": room_table(rows)}
    for name, table in tables.items():
        replace_between(_DOC, f"<!-- {name}: {_MARK} -->\n", table, f"<!-- end of {name} -->\n")
    draw(rows, _PICTURE)


def checked_table(rows: Rows) -> str:
    """What each way to check costs, and lets through, at 30 volunteers: means, and sums of what is counted."""
    lines = [
        "| cheats | checked by | days | wasted | audits, replays | switched off | given up | twice or refused | "
        "wrong steps accepted | honest work refused | cheats found | with work |",
        f"|{' --- |' * 12}",
    ]
    for malice, scheme in _compared(rows):
        seeds = _of(rows, malice, scheme)
        cells = (
            f"{malice:.0%}",
            _NAMES[scheme],
            _spread(_values(seeds, "makespan_days")),
            _spread(_values(seeds, "wasted_share", 100), "%"),
            f"{_mean(seeds, 'audited_share') + _mean(seeds, 'replayed_share'):.1%}",
            f"{_mean(seeds, 'switched_off_share'):.1%}",
            f"{_mean(seeds, 'given_up_share'):.1%}",
            _rest(seeds),
            f"{_mean(seeds, 'wrong_share'):.2%}",
            str(sum(row["honest_work_refused"] for row in seeds)),
            f"{sum(row['cheats_found'] for row in seeds)} of {sum(row['cheats'] for row in seeds)}",
            f"{_mean(seeds, 'with_work_share'):.0%}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def room_table(rows: Rows) -> str:
    """How many of many volunteers have work, over the places: experts times lanes."""
    many = sorted((row for row in rows if not _is_run(row)), key=_places)
    if not many:
        return "Not simulated yet.\n"
    lines = [
        "| experts K | lanes | places | volunteers on | with work | share | a tick, CPU ms | a write, CPU ms |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in many:
        share, present = row["with_work_share"], row["present"]
        cells = (f"{row['experts']:,}", f"{row['lanes']}", f"{_places(row):,}", f"{present:,.0f}")
        cost = (f"{row['tick_cpu_ms']:,.0f}", f"{row['save_cpu_ms'] or 0:,.0f}")
        lines.append(f"| {' | '.join([*cells, f'{share * present:,.0f}', f'{share:.1%}', *cost])} |")
    return "\n".join([*lines, ""])


def draw(rows: Rows, path: Path) -> Path:
    """Plot waste and time over malice: means, and from the lowest to the highest seed.

    Args:
        rows: Of swarm_sim.json.
        path: The PNG to write.

    Returns:
        The same path.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    waste, time = figure.subplots(1, 2)
    _draw_bars(waste, rows, "wasted_share", 100)
    _draw_bars(time, rows, "makespan_days")
    waste.set(title="Work wasted", ylabel="% of all trained steps")
    time.set(title="Days until all experts are there", ylabel="days")
    figure.legend(*waste.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=110, format="png")
    return path


def _draw_bars(panel: Any, rows: Rows, name: str, factor: float = 1) -> None:
    """One bar for each way to check, at each share of cheats."""
    shares = sorted({malice for malice, _ in _compared(rows)})
    for number, (scheme, label) in enumerate(_NAMES.items()):
        found = [(at, _values(_of(rows, malice, scheme), name, factor)) for at, malice in enumerate(shares)]
        found = [(at, values) for at, values in found if values]
        means = [statistics.mean(values) for _, values in found]
        below = [mean - min(values) for mean, (_, values) in zip(means, found, strict=True)]
        above = [max(values) - mean for mean, (_, values) in zip(means, found, strict=True)]
        places = [at + 0.27 * (number - 1) for at, _ in found]
        panel.bar(places, means, 0.25, yerr=(below, above), capsize=3, label=label)
    panel.set_xticks(range(len(shares)), [f"{malice:.0%} cheats" for malice in shares])
    panel.grid(axis="y", alpha=0.3)
    panel.set_axisbelow(True)


def _compared(rows: Rows) -> list[tuple[float, str]]:
    """The shares of cheats and the ways to check that were run."""
    found = {(row["malice"], row["scheme"]) for row in rows if _is_run(row)}
    return sorted(found, key=lambda one: (one[0], list(_NAMES).index(one[1])))


def _of(rows: Rows, malice: float, scheme: str) -> Rows:
    """The seeds of one run."""
    return [row for row in rows if _is_run(row) and (row["malice"], row["scheme"]) == (malice, scheme)]


def _is_run(row: dict[str, Any]) -> bool:
    """Whether a row is of a whole run, not of some hours of many volunteers."""
    return bool(row["days"] > 1)


def _places(row: dict[str, Any]) -> int:
    return int(row["experts"] * row["lanes"])


def _values(rows: Rows, name: str, factor: float = 1) -> list[float]:
    """Of the runs that were done in time."""
    return [factor * row[name] for row in rows if row[name] is not None]


def _mean(rows: Rows, name: str) -> float:
    return statistics.mean(row[name] for row in rows)


def _rest(rows: Rows) -> str:
    """The part of the waste that has no name in the rows: work done twice, or refused."""
    parts = ("audited_share", "replayed_share", "switched_off_share", "given_up_share")
    rests = [row["wasted_share"] - sum(row[part] for part in parts) for row in rows if row["wasted_share"] is not None]
    return f"{statistics.mean(rests):.1%}" if rests else "-"


def _spread(values: list[float], unit: str = "") -> str:
    """Mean, lowest and highest."""
    if not values:
        return "-"
    return f"{statistics.mean(values):.1f}{unit} ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    write_report(json.loads((RESULTS / "swarm_sim.json").read_text())["rows"])
    sys.exit(0)
