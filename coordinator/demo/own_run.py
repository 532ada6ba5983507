"""`paris-coord demo --data`: chooses a demo for the user's own pictures, and runs or continues it."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from paris.coordinator.demo.choosing import Asked, Choice, choose_demo
from paris.coordinator.demo.display import Display
from paris.coordinator.demo.folder import RECIPE, open_folder, require_own
from paris.coordinator.demo.record import RECORD, DemoRecord, DemoState
from paris.coordinator.demo.run import run_stages
from paris.coordinator.run.config import dump_config
from paris.experts.files import write_whole


def run_own_demo(out: Path, asked: Asked, *, overwrite: bool) -> None:
    """Run a demo on the user's own pictures, or continue it.

    Args:
        out: Folder for the run and its report.
        asked: Pictures and time.
        overwrite: Remove an earlier demo in the folder first.

    Raises:
        ParisError: As `choose_demo`: nothing is made or removed. As `run_stages`: the same command continues.
        RunDirError: The folder holds something else, or a demo of other options; nothing is changed.
    """
    out, options = out.resolve(), _options(asked)
    require_own(out, overwrite=overwrite)
    known = None if overwrite else DemoRecord.load(out)
    if known is not None:
        known.require_options(options)
    choice = _choose(asked) if known is None else None
    with open_folder(out, overwrite=overwrite) as lock:
        record = DemoRecord.load(out)
        if record is None:
            if choice is None:
                choice = _choose(asked)
            record = _begin(out, options, choice)
        record.require_options(options)
        run_stages(out, str(out / RECIPE), record, lock)


def _options(asked: Asked) -> dict[str, str]:
    place = Path(asked.data)
    options = {
        "--data": str(place.resolve()) if place.exists() else asked.data,
        "--minutes": f"{asked.minutes:g}",
        "--device": asked.device,
    }
    return options if asked.volunteers is None else {**options, "--volunteers": str(asked.volunteers)}


def _choose(asked: Asked) -> Choice:
    with Display() as display:
        display.show_stage("choose")
        choice = choose_demo(asked, display.show_choosing)
    _print(choice)
    return choice


def _begin(out: Path, options: dict[str, str], choice: Choice) -> DemoRecord:
    """Write the settings, then the record, from which the same command continues."""
    write_whole(out / RECIPE, dump_config(choice.config).encode())
    state = DemoState(
        options=options,
        volunteers=choice.budget.num_workers,
        threads=choice.machine.num_threads,
        device=choice.machine.device,
        samples=choice.budget.samples,
        predicted_s={"choose": choice.spent_s, **choice.budget.predicted_s},
        stages_s={"choose": choice.spent_s},
        finished=["choose"],
    )
    record = DemoRecord(out / RECORD, state)
    record.save()
    return record


def _print(choice: Choice) -> None:
    total_s = choice.spent_s + sum(choice.budget.predicted_s.values())
    table = Table(title=f"Chosen to end in about {total_s / 60:.1f} minutes")
    for column in ("setting", "value", "why"):
        table.add_column(column)
    for reason in choice.reasons:
        table.add_row(reason.setting, reason.value, reason.why)
    console = Console(file=sys.stdout)
    console.print(table)
    console.print(choice.expectation)
