"""Writes the figures of docs/quality.md and the README from a result: `python -m benchmarks.quality_report`.

Only the text between the marks is replaced.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.marked import replace_between
from benchmarks.quality_plan import GUIDED
from benchmarks.quality_plot import draw
from benchmarks.record import RESULTS

_DOCS = Path(__file__).resolve().parents[1] / "docs"
_README_BEGIN = "<!-- quality summary: python -m benchmarks.quality_report -->\n"
_README_END = "<!-- end of quality summary -->\n"
_BEGIN = "<!-- quality figures: python -m benchmarks.quality_report -->\n"
_END = "<!-- end of quality figures -->\n"

Figures = dict[tuple[str, str, str], list[dict[str, Any]]]
"""Data set, arm and method (with the omitted expert) to one row per seed."""


def figures_of(result: dict[str, Any]) -> Figures:
    """All figures, by what they are of."""
    found: Figures = defaultdict(list)
    for folder in result["rows"]:
        for row in folder["figures"]:
            left_out = f" without expert {row['without'][0]}" if row["without"] else ""
            guided = f", guided {row['guidance_scale']:g}" if row["is_guided"] else ""
            found[folder["dataset"], row["arm"], row["way"] + left_out + guided].append(row)
    return dict(found)


def main_table(dataset: str, folders: list[dict[str, Any]], figures: Figures) -> str:
    """One data set's figures, the arms of several seeds first, as Markdown.

    Args:
        dataset: Its name.
        folders: Its seeds.
        figures: All.
    """
    own = {(arm, way): rows for (name, arm, way), rows in figures.items() if name == dataset}
    lines = [
        f"### {dataset}",
        "",
        _conditions(folders, own),
        "",
        "| arm | sampling | distance | of the monolith's | KID | precision | recall | sliced W | recognised | MFLOP |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    one = folders[0]["monolith"]
    most = max(len(rows) for rows in own.values())
    ranked = sorted(own.items(), key=lambda item: (len(item[1]) < most, item[0][0] != one, _mean(item[1], "frechet")))
    return "\n".join(lines + [_line(arm, way, rows) for (arm, way), rows in ranked]) + "\n"


def _conditions(folders: list[dict[str, Any]], own: dict[tuple[str, str], list[dict[str, Any]]]) -> str:
    """Under what a data set's figures were taken: a paragraph."""
    floor = statistics.fmean(folder["floor"] for folder in folders)
    experts = own[folders[0]["experts"], "ancestral"]
    spent = [sum(rows[0]["training_flops"].values()) / 1e12 for rows in (own[folders[0]["monolith"], "alone"], experts)]
    hours = sum(sum(folder["process_s"].values()) for folder in folders) / 3600
    return (
        f"{_seeds(folders)}, {experts[0]['num_samples']} samples; data against data at the same number: {floor:.2f}. "
        "A guided row is a share of the guided monolith's distance, each at the scale that suits it best. Training: "
        f"monolith {spent[0]:.2f} TFLOP, experts and their router {spent[1]:.2f}. {hours:.1f} hours of a core for "
        "training and figures."
    )


def _seeds(folders: list[dict[str, Any]]) -> str:
    return f"{len(folders)} seed{'s' * (len(folders) > 1)}"


def summary_table(datasets: Iterable[list[dict[str, Any]]]) -> str:
    """What the README shows: monolith and experts, one expert a picture, without guidance and with, as Markdown.

    Args:
        datasets: Of each, its folders, a seed each.
    """
    lines = [
        "| data | K | monolith | experts | of the monolith's | guided: monolith | experts | of the monolith's "
        "| from a common start: of the monolith's | guided |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for folders in datasets:
        first = folders[0]
        cells, shares = [f"{first['settings']['dataset']}, {_seeds(folders)}", str(first["settings"]["experts"])], []
        for is_guided, way in ((False, "ancestral"), (True, GUIDED[0])):
            alone = _answers(folders, first["monolith"], "alone", is_guided)
            ours = _answers(folders, first["experts"], way, is_guided)
            cells += [_spread(alone, "frechet", 2), _spread(ours, "frechet", 2), _spread(ours, "of_monolith", 2)]
            shares.append(_spread(_answers(folders, first["warm"], way, is_guided), "of_monolith", 2))
        lines.append(f"| {' | '.join(cells + shares)} |")
    return "\n".join(lines) + "\n"


def guided_shares(result: dict[str, Any]) -> dict[str, str]:
    """The experts' share of the monolith's distance on each data set, each side at its best guidance.

    Args:
        result: What `benchmarks.quality` wrote.

    Returns:
        Data set to mean and standard deviation over the seeds.
    """
    by_dataset = defaultdict(list)
    for folder in result["rows"]:
        by_dataset[folder["dataset"]].append(folder)
    return {
        name: _spread(_answers(folders, folders[0]["experts"], GUIDED[0], True), "of_monolith", 2)
        for name, folders in by_dataset.items()
    }


def _answers(folders: list[dict[str, Any]], arm: str, way: str, is_guided: bool) -> list[dict[str, Any]]:
    """One question's row of each seed."""
    rows = [row for folder in folders for row in folder["figures"] if not row["without"]]
    return [row for row in rows if (row["arm"], row["way"], row["is_guided"]) == (arm, way, is_guided)]


def losses_table(folders: Iterable[dict[str, Any]]) -> str:
    """Held-out loss by cluster, the first seed of each data set."""
    lines = [
        "| data set | cluster | share | own expert | best other | monolith |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for folder in folders:
        lines += [
            f"| {folder['dataset']} | {row['cluster']} | {row['share']:.0%} | {row['own']:.4f} | "
            f"{row['best_other']:.4f} | {row['beside']:.4f} |"
            for row in folder["losses_by_cluster"]
        ]
    return "\n".join(lines) + "\n"


def start_table(folders: Iterable[dict[str, Any]]) -> str:
    """What experts learn beyond a common start, the first seed of each data set."""
    lines = [
        "| data set | cluster | start | own expert | gain | more elsewhere |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for folder in folders:
        lines += [
            f"| {folder['dataset']} | {row['cluster']} | {row['beside']:.4f} | {row['own']:.4f} | {row['gain']:.3f} | "
            f"{row['elsewhere']:+.3f} |"
            for row in folder["losses_after_start"]
        ]
    return "\n".join(lines) + "\n"


def calibration_table(folders: Iterable[dict[str, Any]]) -> str:
    """What the routers know at each noise level, the first seed of each data set."""
    lines = [
        "| data set | flow time | right by picture | off by | best temperature | right with prompt | off by "
        "| best temperature |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for folder in folders:
        for row in folder["calibration"]:
            cells = [
                f"{said['accuracy']:.0%} | {said['calibration_error']:.3f} | {said['temperature']:.2f}"
                for said in (row["picture"], row["with_prompt"])
            ]
            lines.append(f"| {folder['dataset']} | {row['t']:.1f} to {row['t'] + 0.1:.1f} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


_SIZES = {
    "semantic": "all of one size",
    "slow": "the smallest cluster's with a quarter of the steps",
    "halved": "all with half of the steps",
    "shallow": "every second with half of the layers",
    "narrow": "the smallest cluster's half as wide",
    "mixed": "every second half as wide",
    "longer": "every second half as wide, trained for as much compute",
    "small": "all half as wide",
}
"""Kinds of arms that say what to do with machines that cannot hold the run's model."""


def sizes_table(folders: Iterable[dict[str, Any]]) -> str:
    """Experts of different sizes, and what else could be done, where it was measured, each data set's first seed."""
    lines = [
        "| data set | experts | training TFLOP | distance | of the monolith's |",
        "| --- | --- | --- | --- | --- |",
    ]
    for folder in folders:
        rows = {row["arm"]: row for row in _alone_or_ancestral(folder, without=0)}
        named = {arm: _SIZES.get(arm.partition("-")[0]) for arm in rows}
        k = folder["experts"].partition("-")[2]
        found = [(str(what), rows[arm]) for arm, what in named.items() if what and arm.partition("-")[2] == k]
        if len(found) == 1:
            continue
        found += [("none for the smallest cluster", row) for row in _alone_or_ancestral(folder, without=1)]
        found.append(("one model for all", rows[folder["monolith"]]))
        lines += [
            f"| {folder['dataset']} | {what} | {sum(row['training_flops'].values()) / 1e12:.2f} | "
            f"{row['frechet']:.2f} | {row['of_monolith']:.2f} |"
            for what, row in sorted(found, key=lambda one: one[1]["frechet"])
        ]
    return "\n".join(lines) + "\n"


def _alone_or_ancestral(folder: dict[str, Any], without: int) -> list[dict[str, Any]]:
    """The rows of a model alone, or of one expert a picture, without guidance and with so many experts left out."""
    rows = [row for row in folder["figures"] if not row["is_guided"] and len(row["without"]) == without]
    return [row for row in rows if row["way"] in ("alone", "ancestral")]


def main() -> int:
    """Replace the figures between the marks, and draw the plots."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--result", type=Path, default=RESULTS / "quality.json")
    parser.add_argument("--docs", type=Path, default=_DOCS / "quality.md")
    parser.add_argument("--readme", type=Path, default=_DOCS.parent / "README.md")
    given = parser.parse_args()
    result = json.loads(given.result.read_text("utf-8"))
    figures, by_dataset = figures_of(result), defaultdict(list)
    for folder in result["rows"]:
        by_dataset[folder["dataset"]].append(folder)
    tables = [main_table(name, folders, figures) for name, folders in by_dataset.items()]
    firsts = [folders[0] for folders in by_dataset.values()]
    losses = ["### Held-out loss by cluster, first seed\n", losses_table(firsts)]
    losses += ["### Held-out loss after a common start, first seed\n", start_table(firsts)]
    routers = ["### What the routers know, first seed\n", calibration_table(firsts)]
    sizes = ["### Experts of different sizes, first seed\n", sizes_table(firsts)]
    body = "\n".join([*tables, *sizes, *losses, *routers])
    replace_between(given.docs, _BEGIN, body, _END)
    replace_between(given.readme, _README_BEGIN, summary_table(by_dataset.values()), _README_END)
    picture = draw(result, given.docs.parent / "pictures" / "quality.png")
    print(f"{body}\n{picture}")
    return 0


def _line(arm: str, way: str, rows: list[dict[str, Any]]) -> str:
    ratio = _spread(rows, "of_monolith", 2)
    cells = [arm, way, _spread(rows, "frechet", 2), ratio, f"{_mean(rows, 'kernel'):.3f}"]
    cells += [f"{_mean(rows, name):.2f}" for name in ("precision", "recall", "sliced_wasserstein")]
    cells += [f"{_mean(rows, 'recognised'):.0%}", f"{_mean(rows, 'sampling_mflops'):.0f}"]
    return f"| {' | '.join(cells)} |"


def _mean(rows: list[dict[str, Any]], name: str) -> float:
    return statistics.fmean(row[name] for row in rows)


def _spread(rows: list[dict[str, Any]], name: str, digits: int) -> str:
    """Mean and, of several seeds, their standard deviation."""
    values = [row[name] for row in rows]
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{spread}"


if __name__ == "__main__":
    sys.exit(main())
