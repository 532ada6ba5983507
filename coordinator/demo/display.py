"""The demo's progress bars."""

from __future__ import annotations

import time
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from paris.coordinator.console import shows_progress

_STAGE_NAMES = {
    "choose": "Looking at the pictures, measuring this machine",
    "prepare": "Preparing: pictures, features, clusters, shards",
    "warm-start": "Training the warm start",
    "start": "Starting the Hub, the coordinator and the volunteers",
    "train": "Training: each expert alone, then the router",
    "release": "Releasing the model",
    "report": "Sampling and measuring",
}
_LINE_EVERY_S = 20.0


class Display:
    """Progress bars on stderr; a line every 20 seconds if stderr is not a terminal."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, quiet=not shows_progress())
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._bars: dict[str, TaskID] = {}
        self._next_line_at = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show_stage(self, name: str) -> None:
        """Print the title of the stage that starts."""
        self._console.print(f"[bold]{_STAGE_NAMES[name]}[/bold]")

    def refresh(self) -> None:
        """Update the elapsed time."""
        self._progress.refresh()

    def show_choosing(self, stage: str, done: int, total: int) -> None:
        """Show how far looking and measuring are.

        Args:
            stage: "list", "look" or "measure".
            done: What is done of it.
            total: Its whole; 0 where that is unknown.
        """
        self._bar(f"choose/{stage}", stage, float(done), float(total) or None, "")

    def show_prepare(self, event: dict[str, Any]) -> None:
        """Show a JSON line of `paris-coord prepare`."""
        if event.get("event") == "progress":
            self._bar(f"prepare/{event['stage']}", str(event["stage"]), float(event["done"]), float(event["total"]), "")

    def show_warm_start(self, event: dict[str, Any]) -> None:
        """Show a JSON line of `paris-coord warm-start`."""
        if event.get("event") == "progress" and event["loss"] is not None:
            self._say_line(f"step {event['step']}/{event['steps']}, loss {event['loss']:.4f}")
            self._bar("warm-start", "warm start", event["step"], event["steps"], f"loss {event['loss']:.4f}")

    def show_training(self, status: dict[str, Any]) -> None:
        """Show a bar for each expert and one for the router, from `read_status`."""
        tasks = [f"{task['task_id']} {task['step']}/{task['steps']} {task['state']}" for task in status["tasks"]]
        self._say_line(", ".join(tasks))
        for task in status["tasks"]:
            note = f"{task['state']:<10} {task['volunteer']:<12}" + (
                f" loss {task['loss']:.4f}" if task["loss"] is not None else ""
            )
            step = task["steps"] if task["state"] in ("submitted", "registered") else task["step"]
            self._bar(task["task_id"], task["task_id"], step, task["steps"], note)
        if status["router"]["phase"] != "waiting":
            done = float(status["router"]["phase"] == "done")
            self._bar("router", "router", done, 1.0, status["router"]["phase"])

    def _say_line(self, text: str) -> None:
        if self._console.is_terminal or time.monotonic() < self._next_line_at:
            return
        self._next_line_at = time.monotonic() + _LINE_EVERY_S
        self._console.print(f"  {text}", soft_wrap=True)

    def _bar(self, key: str, text: str, done: float, total: float | None, note: str) -> None:
        if key not in self._bars:
            self._bars[key] = self._progress.add_task(text, total=total, note=note)
        self._progress.update(self._bars[key], completed=done, total=total, note=note)
