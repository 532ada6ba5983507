"""`paris-coord demo`: the stages of a whole run. Each stage starts the commands that a person would type."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
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
from paris.protocol.signals import stop_signals

_READY_TIMEOUT_S = 120.0
_POLL_S = 0.5


@dataclass
class Demo:
    """A demo in progress.

    Args:
        out: Folder of the demo: `run/` is the run directory, `volunteers/` their homes, `logs/` the output of all
            processes.
        recipe: A packaged recipe's name, or a .toml file.
        num_volunteers: Number of `paris-node join` processes.
        display: Shows the progress.
    """

    out: Path
    recipe: str
    num_volunteers: int
    display: Display
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

    def prepare(self) -> None:
        """Run `init`, `prepare`, and `warm-start` if the recipe has one."""
        with self._stage("prepare"):
            self._coord("init", "--recipe", self.recipe)
            self._coord("prepare", "--json", on_event=self.display.show_prepare)
        if RunDir.open(self.run_dir).config.model.warm_start_steps is not None:
            with self._stage("warm-start"):
                self._coord("warm-start", "--json", on_event=self.display.show_warm_start)

    def train(self) -> None:
        """Open the tasks, start `serve` and the volunteers, and wait for all experts and the router."""
        with self._stage("start"):
            self._coord("publish-tasks")
            self.processes.start("coordinator", Program.COORD, "serve", str(self.run_dir), "--json")
            self._wait_for_run_json()
            for name in self.volunteer_names:
                self._start_volunteer(name)
        with self._stage("train"):
            self._wait_until_complete()

    def finish(self) -> None:
        """Release the model and write the report."""
        with self._stage("release"):
            self._coord("release", "--tag", "v1")
        self._write_measurements()
        with self._stage("report"):
            self._coord("report", "--out", str(self.out))

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        self.display.show_stage(name)
        yield
        self.stages_s[name] = time.monotonic() - started

    def _coord(self, command: str, *options: str, on_event: Callable[[dict[str, Any]], None] | None = None) -> None:
        """Run a command of `paris-coord` on the run directory to its end.

        Args:
            command: Also the name of its log files.
            options: Of the command.
            on_event: Called with each JSON line that the command prints.
        """
        journal = Journal(self.out / "logs" / f"{command}.jsonl")

        def show() -> None:
            if on_event is None:
                self.display.refresh()
                return
            for event in journal.read_new():
                on_event(event)

        self.processes.run(command, Program.COORD, command, str(self.run_dir), *options, while_waiting=show)

    def _start_volunteer(self, name: str) -> None:
        home = str(self.out / "volunteers" / name)
        options = ("--home", home, "--name", name, "--threads", "1", "--device", "cpu")
        # Without shard sharing, any connection between volunteers that the socket watch sees is an error.
        flags = ("--no-share-shards", "--json")
        self.processes.start(name, Program.NODE, "join", str(self.run_dir / "run.json"), *options, *flags)
        self.journals[name] = Journal(self.out / "logs" / f"{name}.jsonl")

    def _wait_for_run_json(self) -> None:
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while not (self.run_dir / "run.json").is_file():
            self.processes.require_alive("coordinator")
            if time.monotonic() > deadline:
                raise NotReadyError(
                    f"The coordinator was not ready after {_READY_TIMEOUT_S:.0f} s.",
                    f"See {self.out}/logs/coordinator.log",
                )
            self.display.refresh()
            time.sleep(_POLL_S)

    def _wait_until_complete(self) -> None:
        run = RunDir.open(self.run_dir)
        while True:
            status = read_status(run)
            self.display.show_training(status)
            for journal in self.journals.values():
                journal.read_new()
            if status["complete"] and status["router"]["phase"] == "done":
                return
            if status["router"]["phase"] == "failed":
                raise NotReadyError(f"Router training failed: {status['router']['note']}", f"See {run.logs}/router.log")
            self.processes.require_alive("coordinator")
            if not status["complete"] and all(map(self.processes.has_ended, self.volunteer_names)):
                self.processes.require_alive(*self.volunteer_names)
            time.sleep(_POLL_S)

    def _write_measurements(self) -> None:
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
    """Run everything on this machine, from `init` to the report.

    Args:
        out: Folder for the run and its report.
        recipe: A packaged recipe's name, or a .toml file.
        num_volunteers: Number of volunteer processes.
        overwrite: Remove an earlier demo in the folder first.

    Raises:
        RunDirError: The folder is not empty; nothing is changed.
        WorkerError: A process failed; the others are ended, the logs are kept.
    """
    started = time.monotonic()
    _clear_folder(out, overwrite)
    _interrupt_on_stop_signals()
    with Display() as display:
        demo = Demo(out.resolve(), recipe, num_volunteers, display)
        with demo.processes.measure(demo.volunteer_names):
            try:
                demo.prepare()
                demo.train()
                demo.finish()
            finally:
                demo.processes.end_all()
    demo.stages_s["total"] = time.monotonic() - started
    _show_report(demo)


def _clear_folder(out: Path, overwrite: bool) -> None:
    if not out.exists() or not any(out.iterdir()):
        out.mkdir(parents=True, exist_ok=True)
        return
    is_demo = (out / "run").is_dir() and (out / "logs").is_dir()
    if not (overwrite and is_demo):
        raise RunDirError(
            f"{out} already exists.", "Choose another folder (--out), or replace an earlier demo (--overwrite)."
        )
    shutil.rmtree(out)
    out.mkdir(parents=True)


def _interrupt_on_stop_signals() -> None:
    """Treat SIGTERM and SIGHUP as Ctrl-C, so that the `finally` above ends every process."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    for number in stop_signals():
        signal.signal(number, interrupt)


def _show_report(demo: Demo) -> None:
    from paris.coordinator.release.sample import sample_command
    from paris.coordinator.report.tables import print_summary, write_report_files

    report = json.loads((demo.out / "report.json").read_text("utf-8"))
    report["stages_s"] = {name: round(value, 1) for name, value in demo.stages_s.items()}
    report["peak_memory_bytes"] = demo.processes.peak_memory_bytes
    write_report_files(demo.out, report)
    print_summary(report, sys.stdout)
    for name in ("samples.png", "clusters.png", "training.png", "report.md", "report.json"):
        say(f"  {demo.out / name}")
    say(f"Sample more: {sample_command(RunDir.open(demo.run_dir), demo.run_dir / 'release')}")
