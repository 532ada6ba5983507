"""`paris-coord init --data`: look, show, ask, write."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import typer

from paris.coordinator.console import print_json, say, shows_progress
from paris.coordinator.errors import RunDirError
from paris.coordinator.proposal.asking import Question, answered, open_questions, require_answered
from paris.coordinator.proposal.choices import Proposal, Wishes, propose
from paris.coordinator.proposal.detecting import Hints
from paris.coordinator.proposal.findings import Survey
from paris.coordinator.proposal.fingerprint import save_state
from paris.coordinator.proposal.misfits import kept_rows
from paris.coordinator.proposal.planned import plan_remarks
from paris.coordinator.proposal.run_toml import write_run_toml
from paris.coordinator.proposal.showing import proposal_object, reason_table, remark_line, survey_object, survey_table
from paris.coordinator.proposal.survey import survey
from paris.coordinator.proposal.wish_checks import require_possible
from paris.coordinator.run.create import require_addresses, write_run
from paris.coordinator.run.directory import require_empty, require_writable
from paris.protocol.counted import counted
from paris.protocol.printable import printable
from paris.protocol.streams import require_stdout


@dataclass(frozen=True)
class NewRun:
    """Where the run and its pictures are."""

    path: Path
    data: str
    hub_endpoint: str | None
    host: str | None
    hub_port: int


def init_with_data(new: NewRun, wishes: Wishes, hints: Hints, *, yes: bool, as_json: bool) -> None:
    """Create a run directory for somebody's own pictures.

    Args:
        new: Where the run and its pictures are.
        wishes: What was asked for.
        hints: What is known of the pictures.
        yes: Ask nothing.
        as_json: Print survey and proposal as one JSON object instead of tables, and ask nothing.

    Raises:
        ParisError: As `require_possible`, `survey`, `propose` and `write_run`. Nothing is written.
        typer.Exit: The settings were not confirmed. Nothing is written.
    """
    require_stdout()
    require_empty(new.path)
    require_addresses(new.hub_endpoint, new.host)
    require_possible(wishes)
    require_writable(new.path)
    is_asking = not (yes or as_json) and sys.stdin.isatty() and sys.stdout.isatty()
    found = look(new.data, hints, shown=not as_json)
    if not as_json:
        _print(survey_table(found))
    answers = _ask(open_questions(found, wishes)) if is_asking else require_answered(found, wishes, accept_defaults=yes)
    wishes, column = answered(wishes, answers)
    if column is not None:
        found = look(new.data, replace(hints, caption_column=column), shown=not as_json)
    proposal = propose(found, wishes)
    remarks = list(plan_remarks(proposal.config, kept_rows(proposal.config, found)))
    if not as_json:
        _print(reason_table(proposal))
        for remark in remarks:
            say(remark_line(remark))
    if is_asking and not _confirm(new.path):
        say("Nothing was written. Options such as --size and --experts change the proposal.")
        raise typer.Exit(1)
    _write(new, found, proposal)
    if as_json:
        answer = {"run": str(new.path), "survey": survey_object(found), **proposal_object(proposal)}
        print_json({**answer, "remarks": [asdict(remark) for remark in remarks]})


def look(place: str, hints: Hints, *, shown: bool) -> Survey:
    """Survey a source, with a bar on stderr.

    Args:
        place: As for `survey`.
        hints: As for `survey`.
        shown: False where a program reads the output.
    """
    with survey_bars(shown=shown) as report:
        return survey(place, report, hints=hints)


def _write(new: NewRun, found: Survey, proposal: Proposal) -> None:
    pictures = counted(found.rows, "picture")
    head = (
        f"Settings of a run, proposed by paris-coord init --data for {pictures} of {found.place}.",
        "Change what you like, then: paris-coord check-config explains what does not fit.",
    )
    made = write_run(
        new.path,
        proposal.config,
        hub_endpoint=new.hub_endpoint,
        host=new.host,
        hub_port=new.hub_port,
        text=lambda config: write_run_toml(proposal, config, head),
    )
    if found.state is not None:
        save_state(new.path, found.state)
    say(f"Created run {made.run_id} in {new.path}. Settings: {new.path / 'run.toml'}.")
    run = shlex.quote(str(new.path))
    say(f"Next: paris-coord prepare {run}. What it will cost: paris-coord plan {run}")


def _ask(questions: list[Question]) -> dict[str, str]:
    answers = {}
    for question in questions:
        default = f" [{question.default}]" if question.default else ""
        answer = ""
        while not answer:
            answer = _line(f"{question.text}{default}: ") or question.default
        answers[question.option] = answer
    return answers


def _confirm(path: Path) -> bool:
    return _line(f"Write these settings to {path / 'run.toml'}? [Y/n]: ").lower() in ("", "y", "yes")


def _line(prompt: str) -> str:
    """Ask for one line.

    Raises:
        RunDirError: The terminal was closed.
    """
    try:
        return input(printable(prompt)).strip()
    except EOFError as error:
        raise RunDirError("Nothing was written: no answer came.", "Answer, or add --yes.") from error


def _print(table: object) -> None:
    from rich.console import Console

    Console().print(table, soft_wrap=False)


@contextmanager
def survey_bars(*, shown: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Bars on stderr for the progress of a survey.

    Args:
        shown: False where a program reads the output.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

    bars: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    disable = not (shown and shows_progress())
    with Progress(*columns, console=Console(stderr=True), disable=disable, transient=True) as progress:

        def report(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(stage, total=None)
            progress.update(bars[stage], completed=done, total=total or None)

        yield report
