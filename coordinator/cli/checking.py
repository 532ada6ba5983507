"""`paris-coord check-config`: print what is off in a run.toml."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from paris.coordinator.cli.proposing import survey_bars
from paris.coordinator.console import print_json, say
from paris.coordinator.errors import ConfigError
from paris.coordinator.proposal.checking import check_run
from paris.coordinator.proposal.showing import remark_line
from paris.protocol.streams import require_stdout


def print_check(path: Path, *, as_json: bool) -> None:
    """Check a run's settings.

    Args:
        path: The run directory.
        as_json: Print one JSON object.

    Raises:
        ConfigError: A setting cannot work; all are printed before.
        RunDirError, IdentityError: The folder is no run directory.
    """
    require_stdout()
    with survey_bars(shown=not as_json) as report:
        remarks = check_run(path, report)
    if as_json:
        print_json({"remarks": [asdict(remark) for remark in remarks]})
    else:
        for remark in remarks:
            print(remark_line(remark))
    wrong = sum(remark.is_error for remark in remarks)
    if wrong:
        raise ConfigError(
            f"{wrong} of the settings in {path / 'run.toml'} cannot work.", "Correct them, and check again."
        )
    if not remarks:
        say("Nothing is off.")
