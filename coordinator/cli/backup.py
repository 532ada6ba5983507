"""`paris-coord backup` and `restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paris.coordinator.cli.options import JsonOption, RunArgument, expanded, open_run
from paris.coordinator.console import print_json, say

_ELSEWHERE = "Volunteers that do not find it at its old address join with its new run.json, and go on where they were."
_STANDS_BY = "It stands by while the other coordinator leads."


def backup(
    run: RunArgument,
    out: Annotated[Path, typer.Option("--out", callback=expanded, help="The file to write; it holds the run's keys.")],
    as_json: JsonOption = False,
) -> None:
    """Copy a whole run into one file, also while it is served."""
    from paris.coordinator.backup.writing import write_backup

    opened = open_run(run, log_name="backup")

    def progress(num_files: int, num_bytes: int) -> None:
        if num_files % 1000 == 0 and not as_json:
            say(f"{num_files} files, {num_bytes / 1e6:.0f} MB")

    listed = write_backup(opened, out, progress)
    num_bytes = sum(file.bytes for file in listed.files.values())
    if as_json:
        print_json({"file": str(out), "run_id": listed.run_id, "files": len(listed.files), "bytes": num_bytes})
    else:
        say(f"{len(listed.files)} files of {listed.run_id}, {num_bytes / 1e6:.1f} MB, are in {out}. Keep it secret.")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `backup` wrote.")],
    run: RunArgument,
    host: Annotated[str | None, typer.Option(help="IPv4 address of this machine, if it is another one.")] = None,
    hub_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the embedded Hub, if another.")] = 0,
    standby: Annotated[
        bool, typer.Option("--standby", help="For a second coordinator of the same [state] database.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a run directory from a backup. Without --standby, serve either the restored run or the one that it was
    copied from, never both.
    """
    from paris.coordinator.backup.restoring import restore as restore_run

    made, listed = restore_run(file.expanduser(), run.expanduser(), host=host, hub_port=hub_port, standby=standby)
    if as_json:
        print_json(
            {"run": str(made.path), "run_id": made.run_id, "files": len(listed.files), "made_at": listed.made_at}
        )
    else:
        say(f"Restored {made.run_id}, {len(listed.files)} files, to {made.path}. Next: paris-coord serve {made.path}")
        say(_STANDS_BY if standby else _ELSEWHERE)
