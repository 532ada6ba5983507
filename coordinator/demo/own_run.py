"""`paris-coord demo --data`: chooses a demo for the user's own pictures, and runs or continues it."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from paris.coordinator.demo.choosing import Asked, Choice, choose_demo
from paris.coordinator.demo.display import Display
from paris.coordinator.demo.folder import RECIPE, clear, open_folder, require_outside
from paris.coordinator.demo.record import RECORD, DemoRecord, DemoState
from paris.coordinator.demo.run import run_stages
from paris.coordinator.prepare.errors import SourceMissingError
from paris.coordinator.proposal.detecting import detect
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
        RunDirError: The folder holds something else, the pictures, or a demo of other options; nothing is changed.
    """
    out = out.resolve()
    require_outside(out, Path(asked.data), "--data")
    with open_folder(out, overwrite=overwrite) as lock:
        record = None if overwrite else DemoRecord.load(out)
        options = demo_options(asked, record)
        if record is not None:
            record.require_options(options)
        if record is None or not record.is_finished("choose"):
            choice = _choose(asked)
            if overwrite:
                clear(out)
            record = _begin(out, options, choice)
        run_stages(out, str(out / RECIPE), record, lock)


def demo_options(asked: Asked, known: DemoRecord | None) -> dict[str, str]:
    """The options of demo.json.

    Args:
        asked: As on the command line.
        known: The demo that is there already.
    """
    options = {
        "--data": _place(asked.data, known),
        "--minutes": f"{asked.minutes:g}",
        "--device": asked.device,
    }
    return options if asked.volunteers is None else {**options, "--volunteers": str(asked.volunteers)}


def _place(data: str, known: DemoRecord | None) -> str:
    """A folder or file by its absolute path, also one that has moved since the demo began; a data set by its name."""
    path = Path(data).expanduser()
    place = str(path.resolve())
    if path.exists() or (known is not None and known.state.options.get("--data") == place):
        return place
    try:
        detect(data)
    except SourceMissingError:
        return place
    return data


def _choose(asked: Asked) -> Choice:
    with Display() as display:
        display.show_stage("choose")
        choice = choose_demo(asked, display.show_choosing)
    _print(choice)
    return choice


def _begin(out: Path, options: dict[str, str], choice: Choice) -> DemoRecord:
    """Write the record, by which the folder is a demo's, then the settings; without them the demo chooses again."""
    state = DemoState(
        options=options,
        volunteers=choice.budget.num_workers,
        threads=choice.machine.num_threads,
        device=choice.machine.device,
        samples=choice.budget.samples,
        predicted_s={"choose": choice.spent_s, **choice.budget.predicted_s},
        stages_s={"choose": choice.spent_s},
    )
    record = DemoRecord(out / RECORD, state)
    record.save()
    write_whole(out / RECIPE, dump_config(choice.config).encode())
    state.finished.append("choose")
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
