"""The commands before a run: `recipes` and `plan`."""

from __future__ import annotations

from typing import Annotated

import typer

from paris.coordinator.cli.options import JsonOption, RunArgument
from paris.coordinator.errors import ConfigError
from paris.protocol.streams import require_stdout


def recipes(as_json: JsonOption = False) -> None:
    """List the recipes that `init` can start from, with what each costs."""
    import sys

    from paris.coordinator.console import print_json
    from paris.coordinator.planning.recipes import recipe_rows
    from paris.coordinator.planning.tables import print_recipes

    require_stdout()
    rows = recipe_rows()
    if as_json:
        print_json([row.model_dump(mode="json") for row in rows])
    else:
        print_recipes(rows, sys.stdout)


def plan(
    run: RunArgument,
    pictures: Annotated[
        int | None,
        typer.Option(help="Number of pictures, before `prepare`.", min=1, show_default="that of run.toml"),
    ] = None,
    volunteers: Annotated[
        int | None, typer.Option(help="Volunteers at once.", min=1, show_default="one for each expert or lane")
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure this machine first, for some seconds; the run remembers it.")
    ] = False,
    device: Annotated[
        str | None, typer.Option(help="Device to measure: cpu, cuda or mps.", show_default="device of [compute]")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads to measure with.", min=1, show_default="those of [compute]")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Estimate time, memory, disk and bytes of a run before anybody joins, and name settings that cannot work."""
    import sys

    from paris.coordinator.console import print_json
    from paris.coordinator.planning.build import make_plan
    from paris.coordinator.planning.facts import facts_of_run
    from paris.coordinator.planning.measured import measure_run, read_devices
    from paris.coordinator.planning.tables import print_plan
    from paris.coordinator.run.directory import RunDir

    require_stdout()
    if not measure and (device is not None or threads is not None):
        raise ConfigError("--device and --threads need --measure.", "Add --measure, or leave them out.")
    opened = RunDir.open(run)
    facts = facts_of_run(opened, pictures)
    if measure:
        measure_run(opened, facts, device, threads)
    made = make_plan(facts, read_devices(opened), volunteers)
    if as_json:
        print_json(made.model_dump(mode="json"))
    else:
        print_plan(made, sys.stdout)
