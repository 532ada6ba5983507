"""The commands of `paris-node` that only read or tidy the home: they need no run and no network."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from paris.node.options import HomeOption, JsonOption, NoLockOption, clear_errors, home_path
from paris.protocol.printable import printable
from paris.protocol.streams import require_stdout


def credits(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Run id; default: all runs of this home.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the verified steps and hours of this machine, by run, from the verdicts that it has read."""
    with clear_errors(as_json=as_json):
        from paris.node.machine.credits import credits_of
        from paris.node.machine.home import Home

        require_stdout()
        node_home = Home(home_path(home))
        homes = [node_home, *node_home.of_devices().values()]
        run_ids = sorted({run_id for each in homes for run_id in each.run_ids()}) if run is None else [run]
        rows = [credits_of(run_id, [pair for each in homes for pair in each.units(run_id)]) for run_id in run_ids]
        if as_json:
            print(json.dumps([row.as_json() for row in rows]))
        elif not rows:
            print("No tasks yet. Begin with: paris-node join RUN")
        for row in [] if as_json else rows:
            print(printable(row.in_words()))


def gc(
    home: HomeOption = None,
    cache: Annotated[bool, typer.Option("--cache", help="Also delete downloaded files.")] = False,
    as_json: JsonOption = False,
    no_lock: NoLockOption = False,
) -> None:
    """Delete what no unfinished task needs: snapshots of ended tasks, partial downloads."""
    with clear_errors(as_json=as_json):
        from paris.node.machine.garbage import collect_garbage
        from paris.node.machine.home import Home
        from paris.node.machine.lock import home_lock

        node_home, freed = Home(home_path(home)), 0
        for each in (node_home, *node_home.of_devices().values()):
            with home_lock(each.path):
                freed += collect_garbage(each, with_cache=cache)
        print(json.dumps({"freed_bytes": freed}) if as_json else f"Freed {freed} bytes in {node_home.path}.")
