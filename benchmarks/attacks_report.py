"""Writes the tables of docs/threat-model.md and the README from a result: `python -m benchmarks.attacks_report`."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.attacks_audited import AUDITED
from benchmarks.attacks_results import most_common_check, wilson
from benchmarks.attacks_seed import ATTACKS, MAKERS
from benchmarks.attacks_served import AFTERWARDS, SERVED
from benchmarks.marked import replace_between
from benchmarks.record import RESULTS

_ROOT = Path(__file__).resolve().parents[1]
_BEGIN = "<!-- attacks: python -m benchmarks.attacks_report -->\n"
_END = "<!-- end of attacks -->\n"
_README_BEGIN = "<!-- attacks summary: python -m benchmarks.attacks_report -->\n"
_README_END = "<!-- end of attacks summary -->\n"
_RUNGS = ("envelope", "structure", "novelty", "skill")
Rows = dict[str, dict[str, list[Any]]]


def attack_table(rows: Rows) -> str:
    """Attacks that got through at least once first, then those that never did, as Markdown.

    Args:
        rows: Of attacks.json.
    """
    lines = [
        "| attack | what the cheat does | refused by | figure, bound | refused, 95 % interval | its cost | our CPU s |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    asked = [name for name in (*MAKERS, *AUDITED, *SERVED) if name in rows and not name.startswith("honest: ")]
    lines += [_attack_line(name, rows[name]) for name in sorted(asked, key=lambda name: _share(rows[name]) == 1)]
    return "\n".join(lines) + "\n"


def _attack_line(name: str, row: dict[str, list[Any]]) -> str:
    attack = ATTACKS[name.removeprefix("attack: ")] if name in MAKERS else {**AUDITED, **SERVED}[name]
    hits, trials = _hits(row), len(row["seed"])
    low, high = wilson(hits, trials)
    check = most_common_check(row)
    usual = [i for i, code in enumerate(row["refused_by"]) if code == check]
    figures = ", ".join(f"{statistics.median(row[column][i] for i in usual):.3g}" for column in ("figure", "bound"))
    work = getattr(attack, "work", 0.0)
    cost = f"{work:.0%} of the steps" if work else f"{statistics.median(row['made_cpu_s']):.2f} s"
    ours = f"{statistics.median(row['judged_cpu_s']):.2f}"
    share = f"{hits} of {trials}, {low:.0%} to {high:.0%}"
    short = name.partition(": ")[2]
    return (
        f"| {short} | {attack.does} | {f'`{check}`' if check else 'nobody'} | {figures} | {share} | {cost} | {ours} |"
    )


def honest_table(rows: Rows) -> str:
    """Honest work, as Markdown."""
    lines = ["| honest work | judged | rejected |", "| --- | --- | --- |"]
    asked = [name for name in (*MAKERS, AFTERWARDS) if name in rows and name.startswith(("honest: ", AFTERWARDS))]
    for name in asked:
        reasons = most_common_check(rows[name])
        rejected = f"{_hits(rows[name])}{f' (`{reasons}`)' if reasons else ''}"
        lines.append(f"| {name.partition(': ')[2]} | {len(rows[name]['seed'])} | {rejected} |")
    return "\n".join(lines) + "\n"


def summary(rows: Rows) -> str:
    """The README's lines: how many attacks are refused always, sometimes, never, and honest work beside them."""
    attacks = {name: _share(row) for name, row in rows.items() if name in {**MAKERS, **AUDITED, **SERVED}}
    attacks = {name: share for name, share in attacks.items() if not name.startswith("honest: ")}
    always, never = [n for n, share in attacks.items() if share == 1], [n for n, s in attacks.items() if s == 0]
    honest = [row for name, row in rows.items() if name.startswith("honest: ")]
    judged, rejected = sum(len(row["seed"]) for row in honest), sum(map(_hits, honest))
    trials = sum(len(rows[name]["seed"]) for name in attacks)
    lines = [
        f"| {len(attacks)} attacks, {trials} trials | |",
        "| --- | --- |",
        f"| always refused | {len(always)} |",
        f"| refused in some trials | {len(attacks) - len(always) - len(never)} |",
        f"| never refused | {len(never)}: {'; '.join(name.partition(': ')[2] for name in never) or 'none'} |",
        f"| honest work rejected | {rejected} of {judged}, at most {wilson(rejected, judged)[1]:.1%} at 95 % |",
    ]
    return "\n".join(lines) + "\n"


def cost_table(median: dict[str, float]) -> str:
    """What verification costs, as Markdown.

    Args:
        median: Of verify_cost.json.
    """
    training = median["training_cpu_s"]
    names = {
        **{f"rung {n}, {name}": f"{name}_cpu_s" for n, name in enumerate(_RUNGS, 1)},
        "rung 5, a replay of half of a leg": "replay_cpu_s",
        "imports of a verifying process, once for many submissions": "imports_cpu_s",
    }
    lines = [
        f"| cost of verifying an expert that trains for {training:.1f} CPU seconds | CPU s | of its training |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {what} | {median[key]:.2f} | {median[key] / training:.0%} |" for what, key in names.items()]
    return "\n".join(lines) + "\n"


def conditions(result: dict[str, Any]) -> str:
    """Under what the figures were taken: a paragraph."""
    rows, machine = result["rows"], result["machine"]
    honest_s = statistics.median(s for row in rows.values() for s in row["honest_cpu_s"] if s)
    return (
        f"{result['date']}, {machine['processor']}, {machine['cores']} cores, torch {machine['versions']['torch']}. "
        "Each seed has other pictures, weights, order, noise and secret draws. Figure and bound are medians over the "
        "trials that the named check refused, or of the gain where nobody refuses. Intervals are Wilson's. Beside the "
        f"cost to the cheat, an honest training takes {honest_s:.1f} CPU seconds; our cost is that of the verifying "
        "process, of the whole coordinator, or, of attacks by auditors, of its decisions.\n"
    )


def _hits(row: dict[str, list[Any]]) -> int:
    return sum(map(bool, row["refused_by"]))


def _share(row: dict[str, list[Any]]) -> float:
    return _hits(row) / len(row["seed"])


def main() -> int:
    """Replace the tables between the marks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--result", type=Path, default=RESULTS / "attacks.json")
    parser.add_argument("--cost", type=Path, default=RESULTS / "verify_cost.json")
    parser.add_argument("--docs", type=Path, default=_ROOT / "docs" / "threat-model.md")
    parser.add_argument("--readme", type=Path, default=_ROOT / "README.md")
    given = parser.parse_args()
    result = json.loads(given.result.read_text("utf-8"))
    cost = json.loads(given.cost.read_text("utf-8"))
    parts = [conditions(result), attack_table(result["rows"]), honest_table(result["rows"]), cost_table(cost["median"])]
    replace_between(given.docs, _BEGIN, "\n".join(parts), _END)
    replace_between(given.readme, _README_BEGIN, summary(result["rows"]), _README_END)
    print(summary(result["rows"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
