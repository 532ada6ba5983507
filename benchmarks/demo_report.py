"""Figures of a demo: `python -m benchmarks.demo_report` prints them; `--keep` writes them into the documents.

python -m benchmarks.demo_report                  figures of demo/
python -m benchmarks.demo_report --keep           also: benchmarks/results/demo.json, docs/pictures/, docs/benchmarks.md
python -m benchmarks.demo_report demo-fashion     the same of `make demo-fashion`
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.marked import replace_between
from paris.coordinator.report.model_tables import model_rows

_ROOT = Path(__file__).resolve().parents[1]
_MARKS = {
    "demo": (
        "<!-- demo figures: python -m benchmarks.demo_report --keep -->\n",
        "<!-- end of demo figures -->\n",
    ),
    "demo-fashion": (
        "<!-- fashion figures: python -m benchmarks.demo_report demo-fashion --keep -->\n",
        "<!-- end of fashion figures -->\n",
    ),
}
_PICTURES = ("samples.png", "nearest.png", "clusters.png", "training.png")
_WIDEST_PX = 900


def rows_of(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and value of each figure."""
    stages, volunteers = report["stages_s"], report["volunteers"]
    firsts = [v["join_to_first_step_s"] for v in volunteers.values() if v["join_to_first_step_s"] is not None]
    control = [v["control_plane_bytes"] for v in volunteers.values() if v["control_plane_bytes"] is not None]
    return [
        *model_rows(report),
        ("bytes exchanged between experts during training", _between(report)),
        ("control-plane bytes a volunteer", ", ".join(f"{count / 1e3:.0f} kB" for count in control)),
        ("from join to the first training step", ", ".join(f"{value:.1f} s" for value in firsts)),
        (
            "router accuracy on held-out rows",
            f"{report['router']['accuracy']:.0%} (chance {report['router']['chance']:.0%})",
        ),
        ("submissions accepted", f"{sum(v['accepted'] for v in report['verdicts'])} of {len(report['verdicts'])}"),
        ("time", ", ".join(f"{name} {seconds:.0f} s" for name, seconds in stages.items())),
        ("peak memory, sum of proportional set sizes", f"{report['peak_memory_bytes'] / 2**30:.2f} GiB"),
        ("machine", f"{report['machine']['cores']} cores, torch {report['machine']['versions']['torch']}"),
    ]


def keep(demo: Path, report: dict[str, Any]) -> None:
    """Write the figures into docs/benchmarks.md and the README's pictures into docs/pictures/."""
    from PIL import Image

    results, pictures = _ROOT / "benchmarks" / "results", _ROOT / "docs" / "pictures"
    results.mkdir(exist_ok=True)
    pictures.mkdir(exist_ok=True)
    kept = {name: value for name, value in report.items() if name not in ("curves", "clusters")}
    name = demo.resolve().name
    begin, end = _MARKS[name]
    (results / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")
    for file in _PICTURES:
        picture = Image.open(demo / file).convert("RGB")
        picture.thumbnail((_WIDEST_PX, 4 * _WIDEST_PX))
        picture.quantize(256, kmeans=2).save(pictures / (file if name == "demo" else f"{name}-{file}"), optimize=True)
    table = [
        f"| measured by `make {name}` | |",
        "| --- | --- |",
        *(f"| {name} | {value} |" for name, value in rows_of(report)),
    ]
    replace_between(_ROOT / "docs" / "benchmarks.md", begin, "".join(f"{line}\n" for line in table), end)


def main() -> int:
    """Print, and keep where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", nargs="?", type=Path, default=Path("demo"), help="folder of a finished demo")
    parser.add_argument("--keep", action="store_true", help="put figures and pictures into the documents")
    options = parser.parse_args()
    path = options.demo / "report.json"
    if not path.is_file():
        print(f"There is no {path}. Make one: make demo", file=sys.stderr)
        return 1
    report = json.loads(path.read_text("utf-8"))
    for name, value in rows_of(report):
        print(f"{name}: {value}")
    if options.keep and options.demo.resolve().name not in _MARKS:
        print(f"--keep takes a demo in a folder of these names: {', '.join(_MARKS)}.", file=sys.stderr)
        return 1
    if options.keep:
        keep(options.demo, report)
    return 0


def _between(report: dict[str, Any]) -> str:
    sockets = report["sockets"]
    what = "no internet socket in any trainer, no connection between volunteers"
    if report["bytes_between_experts"] != 0:
        what = f"{sockets['trainer_sockets']} sockets in trainers, {sockets['between_volunteers']} between volunteers"
    return f"{report['bytes_between_experts']} ({what}, in {sockets['looks']} looks)"


if __name__ == "__main__":
    sys.exit(main())
