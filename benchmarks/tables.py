"""The tables of docs/benchmarks.md and the README's headline figures, from results: `python -m benchmarks.tables`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.marked import replace_between
from benchmarks.prepare_tables import write_guide
from benchmarks.quality_plot import shares_by_count
from benchmarks.quality_report import guided_shares
from benchmarks.record import RESULTS
from paris.coordinator.planning.words import duration, size

_ROOT = Path(__file__).resolve().parents[1]
_BEGIN = "<!-- model figures: python -m benchmarks.tables -->\n"
_END = "<!-- end of model figures -->\n"
_HEADLINE_BEGIN = "<!-- headline figures: python -m benchmarks.tables -->\n"
_HEADLINE_END = "<!-- end of headline figures -->\n"


def training_table(result: dict[str, Any]) -> str:
    """Table of one training step, compared with the plain implementation.

    Args:
        result: The result of `benchmarks.train_step`.

    Returns:
        Markdown.
    """
    rows, settings, machine = result["rows"], result["settings"], result["machine"]
    columns = {name: [rows[name][who] for who in ("ours", "plain")] for name in ("step_s", "optimizer_s")}
    memory = [f"{rows['peak_memory_bytes'][who] / 2**30:.1f} GiB" for who in ("ours", "plain")]
    share = [f"{rows['share_of_peak'][who]:.0%}" for who in ("ours", "plain")]
    kinds = ("matmul", "attention", "pointwise", "optimizer")
    profiles = [", ".join(f"{rows['profile'][who][kind]:.0%}" for kind in kinds) for who in ("ours", "plain")]
    compiled = "compiled" if settings["compile"] else "not compiled"
    shape = f"{settings['preset']}, batch {settings['batch']}, {settings['precision']}, {compiled}"
    where = f"{machine['cores']} cores, torch {machine['versions']['torch']}"
    lines = [
        f"| one training step ({shape}; {where}) | ours | plain |",
        "| --- | --- | --- |",
        "| time, median | " + " | ".join(f"{value:.1f} s" for value in columns["step_s"]) + " |",
        "| of it the optimizer | " + " | ".join(f"{value:.2f} s" for value in columns["optimizer_s"]) + " |",
        f"| share of the machine's matrix-product peak | {' | '.join(share)} |",
        f"| of the time: products, attention, element by element, optimizer | {' | '.join(profiles)} |",
        f"| peak memory | {' | '.join(memory)} |",
        f"| ratio of the times, median of {settings['rounds']} pairs | {rows['ratio']:.2f} | |",
        f"| largest difference of an output, of a gradient | {rows['difference']['output']:.1e}, "
        f"{rows['difference']['gradient']:.1e} | |",
    ]
    return "\n".join(lines) + "\n"


def sampling_table(result: dict[str, Any]) -> str:
    """Table of eight prompts, compared with the plain loop and with 50 Euler steps.

    Args:
        result: The result of `benchmarks.sample` with all three parts.

    Returns:
        Markdown.
    """
    rows, machine = result["rows"], result["machine"]
    equal, quality, memory = rows["equal"], rows["quality"], rows["memory"]
    fast = quality["full_size"]["fast"]
    where = f"{machine['cores']} cores, torch {machine['versions']['torch']}"
    shape = f"{result['preset']}, {result['experts']} experts, guidance {result['guidance_scale']:g}"
    gaps = ", ".join(f"{100 * (value['of'] - 1):+.1f}%" for value in quality["equal"].values())
    equals = sum(value["equal"] for value in quality["equal"].values())
    lines = [
        f"| sampling {result['prompts']} prompts ({shape}; {where}) | |",
        "| --- | --- |",
        f"| the same pictures, {equal['num_steps']} steps of top-2, against the plain loop over pictures | "
        f"{equal['ratio']:.2f} times as fast |",
        f"| largest difference of a picture, in units of the largest value | "
        f"{equal['maximal_difference'] / equal['largest_value']:.1e} |",
        f"| {fast['num_steps']} steps of what serves, against 50 Euler steps of top-2 | "
        f"{fast['times_faster']:.1f} times as fast |",
        f"| distance from data of these two, measured on another model, a small one of digits, at its own scale and "
        f"7.5, two sets of seeds | {gaps}; {equals} of {len(quality['equal'])} within 2% and as well recognised |",
        f"| peak memory, {memory['resident']} experts resident of {memory['num_experts']} | "
        f"{memory['over_weights']:.2f} times their weights and the router's |",
        f"| fetching hidden behind computing | {memory['hidden']:.0%} |",
    ]
    return "\n".join(lines) + "\n"


def scaling_table(result: dict[str, Any]) -> str:
    """Table of a top-2 step's cost by number of experts.

    Args:
        result: The result of `benchmarks.scaling`.

    Returns:
        Markdown.
    """
    plan, machine = result["plan"], result["machine"]
    by_way: dict[str, dict[int, float]] = {"shared": {}, "resident": {}}
    for row in result["rows"]["experts"]:
        by_way.setdefault(row["way"], {})[row["experts"]] = row["ratio_to_two_experts"]
    counts = [count for count in plan["counts"] if count > 1]
    memory = {row["experts"]: row["memory_mib"] for row in result["rows"]["experts_memory"]}

    def cells(values: dict[int, Any], form: str) -> str:
        return " | ".join(format(values[count], form) if count in values else "" for count in counts)

    where = f"{machine['cores']} cores, torch {machine['versions']['torch']}"
    lines = [
        f"| a top-2 step of {plan['pictures']} pictures over experts K ({plan['small']}; {where}) | "
        f"{' | '.join(map(str, counts))} |",
        "| --- |" + " --- |" * len(counts),
        f"| time against K = 2, all in memory | {cells(by_way['shared'], '.2f')} |",
        f"| the same, 2 in memory and the others on disk | {cells(by_way['resident'], '.2f')} |",
        f"| peak memory, 2 in memory, MiB | {cells(memory, 'd')} |",
    ]
    return "\n".join(lines) + "\n"


def fetch_table(result: dict[str, Any]) -> str:
    """Table of the Hub's traffic for volunteers of one cluster.

    Args:
        result: The result of `benchmarks.fetch`.

    Returns:
        Markdown.
    """
    rows, scale = result["rows"], result["scale"]
    alone = {row["volunteers"]: row for row in rows if not row["sharing"]}
    lines = [
        f"| {result['shards']} shards of one cluster, volunteers that begin at once "
        f"(1/{scale['bytes_divided_by']} of the bytes, {scale['time_divided_by']} times as fast) | "
        "the Hub sends, without sharing | with sharing | first step later by |",
        "| --- | --- | --- | --- |",
    ]
    for row in rows:
        if row["sharing"]:
            before = alone[row["volunteers"]]
            later_s = (row["first_step_s"] - before["first_step_s"]) * scale["time_divided_by"]
            sent = [f"{one['hub_bytes'] / one['data_bytes']:.2f} times the data" for one in (before, row)]
            who = f"{row['volunteers']}, of whom {row['listening']} can be reached"
            lines.append(f"| {who} | {sent[0]} | {sent[1]} | {max(0.0, later_s):.0f} s |")
    return "\n".join(lines) + "\n"


def plan_table(result: dict[str, Any]) -> str:
    """Table of a plan against the demo.

    Args:
        result: The result of `benchmarks.plan`.

    Returns:
        Markdown.
    """
    lines = [
        f"| the plan of the demo ({result['machine']['cores']} cores) | planned | taken | ratio |",
        "| --- | --- | --- | --- |",
        *(
            f"| {row['what']} | {_amount(row['planned'], row['unit'])} | {_amount(row['taken'], row['unit'])} | "
            f"{row['ratio']:.2f} |"
            for row in result["rows"]
        ),
    ]
    return "\n".join(lines) + "\n"


def _amount(value: float, unit: str) -> str:
    return size(value) if unit == "B" else duration(value)


def _experts_of(result: dict[str, Any], dataset: str) -> str:
    """A data set's number of experts, and whether it is the best of those tried."""
    experts = next(folder["experts"] for folder in result["rows"] if folder["dataset"] == dataset)
    count = int(experts.partition("@")[0].rpartition("-")[2])
    tried = shares_by_count(result).get(dataset, {})
    return f"K = {count}" + ", the best tried" * bool(tried and count == min(tried, key=tried.__getitem__))


def headline_table(results: dict[str, dict[str, Any]]) -> str:
    """The headline figures, each with its command.

    Args:
        results: By name: demo, quality, train_step, sample.

    Returns:
        Markdown.
    """
    demo, equal = results["demo"], results["sample"]["rows"]["equal"]
    shares = ", ".join(
        f"{name} {share} ({_experts_of(results['quality'], name)})"
        for name, share in guided_shares(results["quality"]).items()
    )
    bytes_between = demo["bytes_between_experts"]
    rows = [
        ("bytes exchanged between experts while they train", str(bytes_between), "make demo"),
        (
            "distance from real pictures, as a share of one model's of the same compute",
            shares,
            "python -m benchmarks.quality",
        ),
        (
            f"the same pictures by {equal['num_steps']} steps of top-2, against a plain loop over pictures and experts",
            f"{equal['ratio']:.1f} times as fast",
            "python -m benchmarks.sample",
        ),
    ]
    lines = ["| | measured | by |", "| --- | --- | --- |"]
    return "\n".join(lines + [f"| {what} | {figure} | `{command}` |" for what, figure, command in rows]) + "\n"


def main() -> int:
    """Replace the text between the marks in docs/benchmarks.md, the README and the organisers' guide."""
    made = (
        ("train_step", training_table),
        ("sample", sampling_table),
        ("scaling", scaling_table),
        ("fetch", fetch_table),
        ("plan", plan_table),
    )
    tables = "\n".join(table(_result(name)) for name, table in made)
    replace_between(_ROOT / "docs" / "benchmarks.md", _BEGIN, tables, _END)
    headline = headline_table({name: _result(name) for name in ("demo", "quality", "train_step", "sample")})
    replace_between(_ROOT / "README.md", _HEADLINE_BEGIN, headline, _HEADLINE_END)
    print(headline, tables, write_guide(), sep="\n")
    return 0


def _result(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return result


if __name__ == "__main__":
    sys.exit(main())
