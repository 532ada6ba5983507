"""The live view at a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from paris.node.view.events import EventKind, sentence
from paris.node.view.words import ago_in_words

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class ProgressView:
    """A bar for the training, sentences above it, and a quiet spinner while there is nothing to do."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._progress: Progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._bar: TaskID = self._progress.add_task("joining", total=1, note="")
        self._progress.start()

    def event(self, kind: EventKind, /, **fields: Any) -> None:
        """Move the bar, or print the event's sentence."""
        if kind is EventKind.TRAINING:
            beat = ago_in_words(fields.get("heartbeat_age_s"))
            note = f"loss {fields['loss']}  {fields['steps_per_s']:.2f} steps/s  last heartbeat {beat}"
            self._progress.update(
                self._bar,
                description=f"training {fields['task_id']}",
                total=fields["steps"],
                completed=fields["step"],
                note=note,
            )
            return
        if kind is not EventKind.SNAPSHOT:
            self._progress.console.print(sentence(kind, fields), highlight=False, markup=False)
        self._progress.update(self._bar, description=kind.value, note="")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Take the bar away meanwhile."""
        self._progress.stop()
        yield
        self._progress.start()

    def close(self) -> None:
        """Remove the bar."""
        self._progress.stop()
