"""Writes a report as report.json and report.md, and prints its summary on the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TextIO

from paris.coordinator.report.model_tables import markdown_table, model_lines, model_rows
from paris.experts.files import write_whole
from paris.protocol.printable import printable


def write_report_files(out: Path, report: dict[str, Any]) -> None:
    """Write report.json and report.md into a folder."""
    write_whole(out / "report.json", json.dumps(report, indent=1).encode())
    write_whole(out / "report.md", _markdown(report).encode())


def print_summary(report: dict[str, Any], stream: TextIO) -> None:
    """Print the summary as a table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"Run {report['run_id']}", show_header=False)
    for name, value in summary_rows(report):
        table.add_row(Text(printable(name)), Text(printable(value)))
    Console(file=stream).print(table)


def summary_rows(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and values of the main figures."""
    rows = model_rows(report)
    rows += [(e["task_id"], _expert_line(e, report["curves"].get(e["task_id"], []))) for e in report["experts"]]
    rows += [(f"legs of {task_id}", _relay_line(legs)) for task_id, legs in report.get("legs", {}).items()]
    router = report.get("router", {})
    if router:
        rows.append(("router accuracy", f"{router['accuracy']:.0%} over all noise levels"))
        rows.append(("router calibration error", f"{router['calibration_error']:.3f} over all noise levels"))
    accepted = sum(verdict["accepted"] for verdict in report["verdicts"])
    rows.append(("verdicts", f"{accepted} accepted, {len(report['verdicts']) - accepted} rejected"))
    rows += [
        (f"{verdict['task_id']} of {verdict['volunteer_name']}", f"rejected: {verdict['reason']}")
        for verdict in report["verdicts"]
        if not verdict["accepted"]
    ]
    rows += _socket_rows(report)
    for name, volunteer in report.get("volunteers", {}).items():
        first = volunteer["join_to_first_step_s"]
        shown = "-" if first is None else f"{first:.1f} s"
        rows.append(
            (name, f"join to first step {shown}, control plane {_format_bytes(volunteer['control_plane_bytes'])}")
        )
    if report.get("peak_memory_bytes"):
        rows.append(
            ("peak memory of all processes", f"{report['peak_memory_bytes'] / 2**30:.2f} GiB (proportional set sizes)")
        )
    times = ", ".join(f"{name} {value:.0f} s" for name, value in report.get("stages_s", {}).items())
    if times:
        rows.append(("time", times))
    return rows


def _socket_rows(report: dict[str, Any]) -> list[tuple[str, str]]:
    sockets = report.get("sockets", {})
    if not sockets:
        return []
    seen = f"{sockets['trainer_sockets']} sockets in trainers, {sockets['between_volunteers']} between volunteers"
    between = "unknown" if report["bytes_between_experts"] is None else f"{report['bytes_between_experts']} B"
    return [
        ("bytes between experts in training", f"{between} ({seen}, in {sockets['looks']} looks)"),
        ("connections off loopback", str(sockets["off_loopback"])),
    ]


def _expert_line(expert: dict[str, Any], curve: list[Any]) -> str:
    loss = f", loss {curve[0][1]:.3f} to {curve[-1][1]:.3f}" if curve else ""
    return f"{expert['rows']} rows, {expert['steps']} steps by {expert['volunteer']}, {expert['state']}{loss}"


def _relay_line(legs: list[dict[str, Any]]) -> str:
    return "steps " + ", ".join(f"{leg['start_step']} to {leg['steps']} by {leg['volunteer']}" for leg in legs)


def _format_bytes(count: float | None) -> str:
    if count is None:
        return "not measured"
    if count < 10_000:
        return f"{count:.0f} B"
    return f"{count / 1e3:.0f} kB" if count < 1e7 else f"{count / 1e6:.1f} MB"


def _markdown(report: dict[str, Any]) -> str:
    machine = report["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    lines = [
        f"# Run {report['run_id']}",
        "",
        f"Measured on {machine['system']}, {machine['cores']} cores, Python {machine['python']}; {versions}.",
        "",
        *markdown_table(("", ""), summary_rows(report)),
        "",
        "## Pictures",
        "",
        "![samples](samples.png)",
        "![samples and the training pictures nearest to them](nearest.png)",
        "![clusters](clusters.png)",
        "![training](training.png)",
        "",
        *model_lines(report),
        *_contributor_lines(report),
        *_verdict_lines(report),
        *_specialisation_lines(report),
        *_router_lines(report),
        *_hub_lines(report),
        report.get("attribution", ""),
        "",
    ]
    return "\n".join(lines)


def _contributor_lines(report: dict[str, Any]) -> list[str]:
    rows = [
        (
            one["name"],
            one["public_key"][:12],
            f"{one['steps']:,}",
            f"{one['share']:.1%}",
            f"{one['seconds'] / 3600:.2f}",
        )
        for one in report.get("contributors", [])
    ]
    if not rows:
        return []
    return ["## Contributors", "", *markdown_table(("volunteer", "key", "verified steps", "share", "hours"), rows), ""]


def _verdict_lines(report: dict[str, Any]) -> list[str]:
    rows = [
        (verdict["task_id"], verdict["volunteer_name"], rung["rung"], "yes" if rung["passed"] else "no")
        + (f"{rung['figure']:.4g}", f"{rung['bound']:.4g}", rung["note"])
        for verdict in report["verdicts"]
        for rung in verdict["rungs"]
    ]
    return [
        "## Verdicts",
        "",
        *markdown_table(("task", "volunteer", "rung", "passed", "figure", "bound", "what"), rows),
        "",
    ]


def _specialisation_lines(report: dict[str, Any]) -> list[str]:
    matrix = report.get("specialisation", {})
    if not matrix.get("rows"):
        return []
    rows = [
        (row["task_id"], *("" if loss is None else f"{loss:.4g}" for loss in row["losses"])) for row in matrix["rows"]
    ]
    return [
        "## Experts on each other's clusters",
        "",
        "Mean held-out loss of each expert on each cluster, as its verification measured it.",
        "",
        *markdown_table(("", *(f"cluster {cluster}" for cluster in matrix["clusters"])), rows),
        "",
    ]


def _router_lines(report: dict[str, Any]) -> list[str]:
    router = report.get("router", {})
    columns = (
        [router[name] for name in ("accuracy_by_noise", "calibration_by_noise", "brier_by_noise")] if router else []
    )
    if not columns:
        return []
    rows = [
        (f"{low:.1f} to {high:.1f}", f"{accuracy:.0%}", f"{calibration[2]:.3f}", f"{brier[2]:.3f}")
        for (low, high, accuracy), calibration, brier in zip(*columns, strict=True)
    ]
    return [
        "## Router",
        "",
        "Held-out rows by noise level t (0 data, 1 noise): how often it names their cluster, how far its stated",
        "probability of that is off (expected calibration error), and the squared distance of its posterior from the",
        "truth (Brier score).",
        "",
        *markdown_table(("t", "accuracy", "calibration error", "Brier score"), rows),
        "",
    ]


def _hub_lines(report: dict[str, Any]) -> list[str]:
    users = report.get("hub_bytes", {})
    if not users:
        return []
    rows = [
        (user, _format_bytes(counts["downloaded_bytes"]), _format_bytes(counts["uploaded_bytes"]))
        for user, counts in users.items()
    ]
    return ["## Bytes through the Hub", "", *markdown_table(("user", "downloaded", "uploaded"), rows), ""]
