"""The demo's stages, in order. Nothing here trains, verifies or serves: it starts the commands that do."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paris.coordinator.children import Program
from paris.coordinator.console import say
from paris.coordinator.demo.display import Display
from paris.coordinator.demo.journal import Journal
from paris.coordinator.demo.measurements import write_measurements
from paris.coordinator.demo.processes import Processes
from paris.coordinator.errors import NotReadyError, RunDirError
from paris.coordinator.report.status import read_status
from paris.coordinator.run.directory import RunDir

_READY_TIMEOUT_S = 120.0
_POLL_S = 0.5


@dataclass
class Demo:
    """One demo under way.

    Args:
        out: Its folder: `run/` is the run directory, `volunteers/` their homes, `logs/` what everyone said.
        recipe: The packaged recipe.
        num_volunteers: How many `paris-node join` processes.
    """

    out: Path
    recipe: str
    num_volunteers: int
    processes: Processes = field(init=False)
    stages_s: dict[str, float] = field(default_factory=dict)
    journals: dict[str, Journal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.processes = Processes(self.out / "logs")

    @property
    def run_dir(self) -> Path:
        """The run directory."""
        return self.out / "run"

    @property
    def volunteer_names(self) -> list[str]:
        """Names of the volunteers' processes."""
        return [f"volunteer-{number}" for number in range(1, self.num_volunteers + 1)]

    @contextmanager
    def stage(self, name: str, display: Display) -> Iterator[None]:
        """Time a stage and show its name."""
        started = time.monotonic()
        display.stage(name)
        yield
        self.stages_s[name] = time.monotonic() - started

    def prepare(self, display: Display) -> None:
        """Run init, prepare, and warm-start where the recipe has one."""
        run = str(self.run_dir)
        with self.stage("prepare", display):
            self.processes.run(
                "init", Program.COORD, "init", run, "--recipe", self.recipe, while_waiting=display.refresh
            )
            journal = Journal(self.out / "logs" / "prepare.jsonl")

            def show() -> None:
                for event in journal.read_new():
                    display.prepared(event)

            self.processes.run("prepare", Program.COORD, "prepare", run, "--json", while_waiting=show)
        if RunDir.open(self.run_dir).config.model.warm_start_steps is not None:
            self._warm_start(display)

    def _warm_start(self, display: Display) -> None:
        journal = Journal(self.out / "logs" / "warm-start.jsonl")

        def show() -> None:
            for event in journal.read_new():
                display.warm_start(event)

        with self.stage("warm-start", display):
            command = (Program.COORD, "warm-start", str(self.run_dir), "--json")
            self.processes.run("warm-start", *command, while_waiting=show)

    def train(self, display: Display) -> None:
        """Open the tasks, start `serve` and the volunteers, and wait for all experts and the router."""
        with self.stage("start", display):
            run = str(self.run_dir)
            self.processes.run("publish", Program.COORD, "publish-tasks", run, while_waiting=display.refresh)
            self.processes.start("coordinator", Program.COORD, "serve", str(self.run_dir), "--json")
            self._wait_for_run_json(display)
            for name in self.volunteer_names:
                home = str(self.out / "volunteers" / name)
                # What the demo shows of connections between volunteers, none, is then true of shards too.
                quiet = ("--no-share-shards", "--json")
                options = ("--home", home, "--name", name, "--threads", "1", "--device", "cpu", *quiet)
                self.processes.start(name, Program.NODE, "join", str(self.run_dir / "run.json"), *options)
                self.journals[name] = Journal(self.out / "logs" / f"{name}.jsonl")
        with self.stage("train", display):
            self._wait_until_complete(display)

    def finish(self, display: Display) -> None:
        """Release the model and draw the report."""
        run = str(self.run_dir)
        with self.stage("release", display):
            self.processes.run("release", Program.COORD, "release", run, "--tag", "v1", while_waiting=display.refresh)
        self._measure()
        with self.stage("report", display):
            command = (Program.COORD, "report", run, "--out", str(self.out))
            self.processes.run("report", *command, while_waiting=display.refresh)

    def _wait_for_run_json(self, display: Display) -> None:
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while not (self.run_dir / "run.json").is_file():
            self.processes.require_alive("coordinator")
            if time.monotonic() > deadline:
                raise NotReadyError(
                    f"The coordinator was not up after {_READY_TIMEOUT_S:.0f} s.",
                    f"See {self.out}/logs/coordinator.log",
                )
            display.refresh()
            time.sleep(_POLL_S)

    def _wait_until_complete(self, display: Display) -> None:
        run = RunDir.open(self.run_dir)
        while True:
            status = read_status(run)
            display.training(status)
            for journal in self.journals.values():
                journal.read_new()
            if status["complete"] and status["router"]["phase"] == "done":
                return
            if status["router"]["phase"] == "failed":
                raise NotReadyError(f"Router training failed: {status['router']['note']}", f"See {run.logs}/router.log")
            self.processes.require_alive("coordinator")
            if not status["complete"]:
                self._require_some_volunteer()
            time.sleep(_POLL_S)

    def _require_some_volunteer(self) -> None:
        if all(self.processes.has_ended(name) for name in self.volunteer_names):
            self.processes.require_alive(*self.volunteer_names)

    def _measure(self) -> None:
        for journal in self.journals.values():
            journal.read_new()
        write_measurements(
            self.run_dir / "measurements.json",
            stages_s=self.stages_s,
            peak_memory_bytes=self.processes.peak_memory_bytes,
            sockets=self.processes.sockets.as_dict(),
            journals=self.journals,
        )


def run_demo(out: Path, *, recipe: str, num_volunteers: int, overwrite: bool) -> None:
    """Run a whole Paris on this machine and show what came of it.

    Args:
        out: Folder for the run and its report.
        recipe: A packaged recipe's name, or a .toml file.
        num_volunteers: How many volunteer processes.
        overwrite: Remove an earlier demo there first.

    Raises:
        RunDirError: The folder holds something; nothing is changed.
        WorkerError: One of the processes failed; the others are ended, logs stay.
    """
    started = time.monotonic()
    _make_room(out, overwrite)
    demo = Demo(out.resolve(), recipe, num_volunteers)
    _end_on_signals()
    with Display() as display, demo.processes.measured(demo.volunteer_names):
        try:
            demo.prepare(display)
            demo.train(display)
            demo.finish(display)
        finally:
            demo.processes.end_all()
    demo.stages_s["total"] = time.monotonic() - started
    _show_result(demo)


def _make_room(out: Path, overwrite: bool) -> None:
    if not out.exists() or not any(out.iterdir()):
        out.mkdir(parents=True, exist_ok=True)
        return
    is_demo = (out / "run").is_dir() and (out / "logs").is_dir()
    if not (overwrite and is_demo):
        raise RunDirError(
            f"{out} already exists.", "Choose another with --out, or add --overwrite to replace an earlier demo."
        )
    shutil.rmtree(out)
    out.mkdir(parents=True)


def _end_on_signals() -> None:
    """SIGTERM ends the demo as Ctrl-C does: through the `finally` that ends every process."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def _show_result(demo: Demo) -> None:
    report = json.loads((demo.out / "report.json").read_text("utf-8"))
    report["stages_s"] = {name: round(value, 1) for name, value in demo.stages_s.items()}
    report["peak_memory_bytes"] = demo.processes.peak_memory_bytes
    from paris.coordinator.report.tables import print_summary, write_report_files

    write_report_files(demo.out, report)
    print_summary(report, sys.stdout)
    for name in ("samples.png", "clusters.png", "training.png", "report.md", "report.json"):
        say(f"  {demo.out / name}")
    say(f'Sample more: paris-coord sample "a red heart" --model {demo.run_dir / "release"}')
