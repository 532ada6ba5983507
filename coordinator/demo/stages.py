"""The stages of a demo. Each starts the commands that a person would type, and is skipped if it is finished."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paris.coordinator.children import Program
from paris.coordinator.demo.display import Display
from paris.coordinator.demo.journal import Journal
from paris.coordinator.demo.measurements import write_measurements
from paris.coordinator.demo.processes import Processes
from paris.coordinator.demo.record import DemoRecord
from paris.coordinator.demo.strangers import LEAVER, Strangers
from paris.coordinator.errors import NotReadyError
from paris.coordinator.report.status import read_status
from paris.coordinator.run.directory import RunDir

_READY_TIMEOUT_S = 120.0
_POLL_S = 0.5


@dataclass
class Stages:
    """A demo in progress.

    Args:
        out: Folder of the demo.
        recipe: A packaged recipe's name, or a .toml file.
        record: How far the demo is.
        display: Shows the progress.
        processes: Starts and ends its processes.
    """

    out: Path
    recipe: str
    record: DemoRecord
    display: Display
    processes: Processes
    journals: dict[str, Journal] = field(init=False)
    strangers: Strangers | None = field(init=False, default=None)
    """None in a demo among friends."""

    def __post_init__(self) -> None:
        names = self.volunteer_names
        self.journals = {name: Journal(self.processes.events_of(name)) for name in names}
        if self.record.state.strangers:
            run_file, home = str(self.run_dir / "run.json"), self._home(LEAVER)
            self.strangers = Strangers(self.record, self.processes, run_file, home, names[-1], self._start_volunteer)

    @property
    def run_dir(self) -> Path:
        """The run directory."""
        return self.out / "run"

    @property
    def volunteer_names(self) -> list[str]:
        """Names of the volunteers' processes, with one that comes in another's place."""
        state = self.record.state
        return [f"volunteer-{number}" for number in range(1, state.volunteers + state.strangers + 1)]

    def prepare(self) -> None:
        """Run `init`, `prepare`, and `warm-start` if the recipe has one."""
        with self._stage("prepare") as is_due:
            if is_due:
                self._init()
                self._coord("prepare", "--json", on_event=self.display.show_prepare)
        if RunDir.open(self.run_dir).config.model.warm_start_steps is None:
            return
        with self._stage("warm-start") as is_due:
            if is_due:
                self._coord("warm-start", "--json", on_event=self.display.show_warm_start)

    def train(self) -> None:
        """Open the tasks, start `serve` and the volunteers, and wait for all experts and the router."""
        if self.record.is_finished("train"):
            return
        self.record.repeat("start")
        with self._stage("start"):
            self._coord("publish-tasks")
            (self.run_dir / "run.json").unlink(missing_ok=True)
            self.processes.start("coordinator", Program.COORD, "serve", str(self.run_dir), "--json")
            self._wait_for_run_json()
            self._start_volunteers()
        with self._stage("train"):
            self._wait_until_complete()

    def finish(self) -> None:
        """Release the model and write the report."""
        with self._stage("release") as is_due:
            if is_due:
                self._coord("release", "--tag", "v1")
        with self._stage("report") as is_due:
            if is_due:
                self._write_measurements()
                samples = self.record.state.samples
                options = () if samples is None else ("--samples", str(samples))
                self._coord("report", "--out", str(self.out), *options)

    @contextmanager
    def _stage(self, name: str) -> Iterator[bool]:
        """Title and time of a stage; yields whether it is still to be done."""
        if self.record.is_finished(name):
            yield False
            return
        self.display.show_stage(name)
        with self.record.timed(name):
            yield True

    def _init(self) -> None:
        if (self.run_dir / "run.toml").is_file():
            return
        shutil.rmtree(self.run_dir, ignore_errors=True)  # of an `init` that was killed
        self._coord("init", "--recipe", self.recipe)

    def _coord(self, command: str, *options: str, on_event: Callable[[dict[str, Any]], None] | None = None) -> None:
        """Run a command of `paris-coord` on the run directory to its end.

        Args:
            command: Also the name of its log files.
            options: Of the command.
            on_event: Called with each JSON line that the command prints.
        """
        journal = Journal(self.out / "logs" / f"{command}.jsonl")

        def show() -> None:
            self.record.keep_time()
            if on_event is None:
                self.display.refresh()
                return
            for event in journal.read_new():
                on_event(event)

        self.processes.run(command, Program.COORD, command, str(self.run_dir), *options, while_waiting=show)

    def _start_volunteers(self) -> None:
        names = self.volunteer_names[: self.record.state.volunteers]
        if self.strangers is not None:
            self.strangers.start(names)
            return
        for name in names:
            self._start_volunteer(name)

    def _home(self, name: str) -> str:
        return str(self.out / "volunteers" / name)

    def _start_volunteer(self, name: str) -> None:
        state, home = self.record.state, self._home(name)
        options = ("--home", home, "--name", name, "--threads", str(state.threads), "--device", state.device)
        # Without shard sharing, any connection between volunteers that the socket watch sees is an error.
        flags = ("--no-share-shards", "--json")
        self.processes.start(name, Program.NODE, "join", str(self.run_dir / "run.json"), *options, *flags)

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
            self.record.keep_time()
            for journal in self.journals.values():
                journal.read_new()
            if self.strangers is not None:
                self.strangers.look(self.journals[LEAVER])
            if status["complete"] and status["router"]["phase"] == "done":
                return
            if status["router"]["phase"] == "failed":
                raise NotReadyError(f"Router training failed: {status['router']['note']}", f"See {run.logs}/router.log")
            require_progress(status)
            self.processes.require_alive("coordinator")
            started = [name for name in self.volunteer_names if self.processes.is_started(name)]
            if not status["complete"] and all(map(self.processes.has_ended, started)):
                self.processes.require_alive(*started)
            time.sleep(_POLL_S)

    def _write_measurements(self) -> None:
        for journal in self.journals.values():
            journal.read_new()
        state = self.record.state
        write_measurements(
            self.run_dir / "measurements.json",
            stages_s=state.stages_s,
            peak_memory_bytes=self.processes.peak_memory_bytes,
            sockets=self.processes.sockets.as_dict(),
            journals=self.journals,
        )


def require_progress(status: dict[str, Any]) -> None:
    """Refuse to train the same weights again and again: training is deterministic, so the verdict stays the same.

    Raises:
        NotReadyError: Work for a task was rejected twice for the same reason, to the last digit.
    """
    rejected = Counter(
        (submission["task_id"], submission["verdict"]["reason"])
        for submission in status["submissions"]
        if submission["verdict"] is not None and not submission["verdict"]["accepted"]
    )
    for (task, reason), times in rejected.items():
        if times > 1:
            raise NotReadyError(
                f"{task}: the same work was rejected twice: {reason}",
                "Its cluster may be too like another one: set a lower bound under [verify], or take fewer experts.",
            )
