"""Shows the introduction before the first join of a run, and asks once where somebody is there to answer."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from paris.experts.files import write_whole
from paris.node.doctor.finding import Level
from paris.node.doctor.known import Known
from paris.node.doctor.looks import Look, look_at
from paris.node.doctor.run_looks import fit
from paris.node.doctor.trial_look import TRIAL_LIMIT_S, trial
from paris.node.errors import StoppedError, disk_full_while
from paris.node.hub.client import Hub
from paris.node.machine.machine import Machine
from paris.node.view import EventKind, View
from paris.node.welcome.introduction import Introduction, introduction_of, lines_of
from paris.node.welcome.picture import fetch_samples, half_blocks
from paris.protocol.envelope import Envelope
from paris.protocol.printable import on_one_line
from paris.protocol.run_records import RunSpec, Task

if TYPE_CHECKING:
    from rich.console import Console

_logger = logging.getLogger(__name__)
_LABEL_COLUMNS = 10
_NARROW_COLUMNS = 60


@dataclass(frozen=True)
class Welcome:
    """Introduces a run to the volunteer; `join` calls it when run, machine and Hub are known.

    Args:
        view: Shows the event where nobody is asked.
        agreed: The volunteer has said yes on the command line.
        asks: Somebody is there to answer.
    """

    view: View
    agreed: bool
    asks: bool

    def __call__(
        self, run: Envelope[RunSpec], read_tasks: Callable[[], list[Task]], machine: Machine, hub: Hub
    ) -> None:
        """Show the introduction and ask, if this home has not joined the run before.

        Raises:
            StoppedError: The volunteer does not want to join.
            ExpertError: This software does not know the run's model.
        """
        mark = machine.home.agreed(run.run_id)
        if mark.exists() or machine.home.units(run.run_id):
            return
        tasks = read_tasks()
        told = introduction_of(run.run_id, run.payload, tasks, machine, hub.endpoint)
        if not self.asks:
            self.view.event(EventKind.INTRODUCTION, text=_sentence(told), **told.fields)
        else:
            with self.view.held():
                self._show(told, run, tasks, machine, hub)
                is_wanted = self.agreed or _is_wanted(told.name)
            if not is_wanted:
                self.view.event(EventKind.DONE, text="Not joined; the run was told nothing.")
                raise StoppedError("Not joined.")
        _note(mark)

    def _show(self, told: Introduction, run: Envelope[RunSpec], tasks: list[Task], machine: Machine, hub: Hub) -> None:
        from rich.console import Console

        console = Console(stderr=True)
        samples = fetch_samples(hub, run.payload.model_repo) if console.color_system == "truecolor" else None
        drawn = half_blocks(samples, console.width) if samples is not None else None
        if drawn is not None:
            console.print(drawn)
        with console.status("Measuring a training step ..."):
            training = _measured(run, tasks, machine)
        _print_rows(console, lines_of(told, training))


def is_someone_there() -> bool:
    """Whether a person can be asked: both ends of this process are a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _measured(run: Envelope[RunSpec], tasks: list[Task], machine: Machine) -> str | None:
    """What a step and a leg take here, or why this machine cannot train it."""
    known = Known(run.run_id, machine.home, None, {}, machine.config, hardware=machine.hardware, spec=run, tasks=tasks)
    for look in (Look("fit", lambda: fit(known)), Look("training", lambda: trial(known), TRIAL_LIMIT_S)):
        for finding in look_at(look):
            _logger.info("%s: %s", finding.name, finding.text)
            if finding.level is not Level.OK or finding.name == "training":
                return " ".join(filter(None, (on_one_line(finding.text), finding.next_step)))
    return None


def _print_rows(console: Console, rows: list[tuple[str, str]]) -> None:
    """Two columns; one below the other where the terminal is narrow."""
    from rich.table import Table
    from rich.text import Text

    if console.width < _NARROW_COLUMNS:
        for word, text in rows:
            console.print(Text(f"{word}: {text}"))
        return
    table = Table.grid(padding=(0, 1))
    table.add_column(min_width=_LABEL_COLUMNS, style="bold")
    table.add_column(overflow="fold")
    for word, text in rows:
        table.add_row(Text(word), Text(text))
    console.print(table)


def _is_wanted(name: str) -> bool:
    import typer

    try:
        return typer.confirm(f"Join {name}?", default=True, err=True)
    except typer.Abort:
        return False


def _sentence(told: Introduction) -> str:
    return " ".join(f"{word}: {text}." for word, text in lines_of(told, None))


def _note(mark: Path) -> None:
    with disk_full_while(f"saving {mark.name}", mark.parent):
        write_whole(mark, b"")
