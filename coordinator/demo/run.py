"""`paris-coord demo`: a whole run on this machine, which the same command continues after an interruption."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from paris.coordinator.console import say
from paris.coordinator.demo.display import Display
from paris.coordinator.demo.folder import clear, open_folder, require_outside
from paris.coordinator.demo.processes import Processes
from paris.coordinator.demo.record import RECORD, DemoRecord, DemoState
from paris.coordinator.demo.sockets import SocketWatch
from paris.coordinator.demo.stages import Stages
from paris.coordinator.run.config import RunConfig, dump_config, load_recipe
from paris.coordinator.run.directory import RunDir
from paris.protocol.signals import stop_signals


def run_demo(out: Path, *, recipe: str, num_volunteers: int, strangers: bool, overwrite: bool) -> None:
    """Run a recipe on this machine, from `init` to the report, or continue from where an earlier call was stopped.

    Args:
        out: Folder for the run and its report.
        recipe: A packaged recipe's name, or a .toml file.
        num_volunteers: Number of volunteer processes.
        strangers: Let one of them hand over in the middle of its training, and add a cheat (`strangers.py`).
        overwrite: Remove an earlier demo in the folder first.

    Raises:
        RunDirError: The folder holds something else, what the recipe reads, or a demo of other options; nothing is
            changed.
        ConfigError: The recipe is unknown or invalid.
        WorkerError: A process failed; the others are ended, the logs are kept.
    """
    out = out.resolve()
    config = load_recipe(recipe)
    _require_outside(out, recipe, config)
    options = {"--recipe": _recipe_option(recipe, config), "--volunteers": str(num_volunteers)}
    options |= {"--strangers": "yes"} if strangers else {}
    with open_folder(out, overwrite=overwrite) as lock:
        if overwrite:
            clear(out)
        record = DemoRecord.load(out)
        if record is None:
            record = DemoRecord(
                out / RECORD, DemoState(options=options, volunteers=num_volunteers, strangers=strangers)
            )
            record.save()
        record.require_options(options)
        run_stages(out, recipe, record, lock)


def _require_outside(out: Path, recipe: str, config: RunConfig) -> None:
    """Check that neither a recipe's file nor its pictures are in the demo's folder."""
    if recipe.endswith(".toml"):
        require_outside(out, Path(recipe), "--recipe")
    source = config.data.get("source", {})
    if "path" in source:
        require_outside(out, Path(source["path"]), f"[data.source] path of the recipe {recipe}:")


def _recipe_option(recipe: str, config: RunConfig) -> str:
    """A recipe's name; of a file also a digest, so that a changed file is noticed."""
    digest = hashlib.sha256(dump_config(config).encode()).hexdigest()
    return f"{recipe} ({digest[:12]})" if recipe.endswith(".toml") else recipe


def run_stages(out: Path, recipe: str, record: DemoRecord, lock: FileIO) -> None:
    """Run the stages that are not finished, and show the report.

    Args:
        out: The demo's folder.
        recipe: A packaged recipe's name, or a .toml file.
        record: How far the demo is.
        lock: The folder's lock.
    """
    state = record.state
    if record.is_finished("report"):
        say(f"The demo in {out} is finished. To run it again: --overwrite.")
        _show_report(out, record)
        return
    if done := [stage for stage in state.finished if stage != "choose"]:
        say(f"Continuing the demo in {out} after: {', '.join(done)}.")
    _interrupt_on_stop_signals()
    processes = Processes(out / "logs", lock)
    processes.peak_memory_bytes, processes.sockets = state.peak_memory_bytes, SocketWatch(**state.sockets)
    with Display() as display, _ended(processes, record):
        stages = Stages(out, recipe, record, display, processes)
        with processes.measure(stages.volunteer_names):
            stages.prepare()
            stages.train()
            stages.finish()
    _show_report(out, record)


@contextmanager
def _ended(processes: Processes, record: DemoRecord) -> Iterator[None]:
    """End all processes, and keep what was measured of them, however the body ends."""
    try:
        yield
    finally:
        processes.end_all()
        record.state.peak_memory_bytes = processes.peak_memory_bytes
        record.state.sockets = processes.sockets.as_dict()
        record.save()


def _interrupt_on_stop_signals() -> None:
    """Treat SIGTERM and SIGHUP as Ctrl-C, so that the `finally` above ends every process."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    for number in stop_signals():
        signal.signal(number, interrupt)


def _show_report(out: Path, record: DemoRecord) -> None:
    from paris.coordinator.release.sample import sample_command
    from paris.coordinator.report.tables import print_summary, write_report_files

    state, run_dir = record.state, out / "run"
    report = json.loads((out / "report.json").read_text("utf-8"))
    report["stages_s"] = {**_rounded(state.stages_s), "total": round(sum(state.stages_s.values()), 1)}
    report["peak_memory_bytes"] = state.peak_memory_bytes
    report["predicted_s"] = _rounded(state.predicted_s)
    write_report_files(out, report)
    print_summary(report, sys.stdout)
    if state.predicted_s:
        _compare(state.predicted_s, state.stages_s)
    for name in ("samples.png", "nearest.png", "clusters.png", "training.png", "report.md", "report.json"):
        say(f"  {out / name}")
    say(f"Sample more: {sample_command(RunDir.open(run_dir), run_dir / 'release')}")


def _compare(predicted_s: Mapping[str, float], stages_s: Mapping[str, float]) -> None:
    """Print the time of each stage as predicted and as taken."""
    table = Table("stage", "predicted", "taken", title="Time")
    for name, predicted in predicted_s.items():
        table.add_row(name, f"{predicted:.0f} s", f"{stages_s.get(name, 0.0):.0f} s")
    table.add_row("total", f"{sum(predicted_s.values()):.0f} s", f"{sum(stages_s.values()):.0f} s")
    Console(file=sys.stdout).print(table)


def _rounded(stages_s: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 1) for name, value in stages_s.items()}
