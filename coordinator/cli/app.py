"""`paris-coord`: the organiser's command. Each command's work lives in a module of its own, imported when it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from paris.coordinator.cli.data import clusters, dropped, prepare
from paris.coordinator.cli.options import JsonOption, RunArgument
from paris.coordinator.cli.sampling import sample
from paris.coordinator.cli.training import distill, train_router, warm_start
from paris.coordinator.console import fail_clearly, print_json, say
from paris.protocol.lifeline import end_with_parent_if_asked

app = typer.Typer(
    name="paris-coord",
    help="Organise a Paris run: prepare data, publish tasks, serve, verify, release.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.command()
def init(
    run: RunArgument,
    recipe: Annotated[str, typer.Option(help="A name that `paris-coord recipes` lists, or a .toml file.")] = "emoji",
    name: Annotated[str | None, typer.Option(help="The run's name; part of its id.")] = None,
    hub: Annotated[str | None, typer.Option(help="Endpoint of a Hub; without it the recipe's.")] = None,
    host: Annotated[
        str | None, typer.Option(help="IPv4 address that volunteers reach this machine at.", show_default="loopback")
    ] = None,
    hub_port: Annotated[int, typer.Option(help="Port of the embedded Hub; 0 takes a free one.", min=0, max=65535)] = 0,
) -> None:
    """Make a run directory: settings in run.toml, a new signing key, free ports."""
    from paris.coordinator.run.create import create_run

    made = create_run(run, recipe=recipe, name=name, hub_endpoint=hub, host=host, hub_port=hub_port)
    say(f"Made run {made.run_id} in {run}. Settings: {run / 'run.toml'}. Next: paris-coord prepare {run}")


@app.command()
def recipes() -> None:
    """List the recipes that `init` can start from."""
    from paris.coordinator.run.config import recipe_names

    for name in recipe_names():
        print(name)


for command in (prepare, clusters, dropped, warm_start):
    app.command()(command)


@app.command()
def publish_tasks(run: RunArgument) -> None:
    """Open one task an expert; a running `serve` publishes them at once, a later one when it starts."""
    from paris.coordinator.run.directory import RunDir
    from paris.coordinator.service.tasks import open_tasks

    opened = open_tasks(RunDir.open(run))
    say(f"{opened} tasks are open. Next: paris-coord serve {run}")


@app.command()
def serve(
    run: RunArgument,
    as_json: JsonOption = False,
) -> None:
    """Serve the run: DHT peer, leases, verification, registration, and the embedded Hub where run.toml has one."""
    from paris.coordinator.cli.options import event_printer, stop_on_signals
    from paris.coordinator.run.directory import RunDir
    from paris.coordinator.service.startup import serve as run_service

    stop = stop_on_signals()
    run_service(RunDir.open(run), event_printer(as_json), stop)


@app.command()
def hub(
    data: Annotated[Path, typer.Option(help="Where the repos are kept.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8484,
    open_registration: Annotated[
        bool, typer.Option("--open-registration", help="Unknown tokens make volunteers, who may open pull requests.")
    ] = False,
) -> None:
    """Serve an embedded Hub: the stock huggingface_hub client and `hf` work against it."""
    from paris.coordinator.hub import serve as serve_hub

    say(f"The administrator's token is in {data / 'admin.token'}.")
    serve_hub(data, host=host, port=port, open_registration=open_registration)


@app.command()
def status(
    run: RunArgument, as_json: JsonOption = False, watch: Annotated[bool, typer.Option(help="Keep showing.")] = False
) -> None:
    """Show tasks, volunteers, verdicts."""
    from paris.coordinator.report.status import print_status, read_status
    from paris.coordinator.run.directory import RunDir

    opened = RunDir.open(run)
    if as_json:
        print_json(read_status(opened))
    else:
        print_status(opened, watch=watch)


app.command()(train_router)


@app.command()
def release(
    run: RunArgument, tag: Annotated[str | None, typer.Option(help="Tag the release on the Hub.")] = None
) -> None:
    """Assemble the sampleable model from the registered experts and the router, here and on the Hub."""
    from paris.coordinator.release.assemble import release_run
    from paris.coordinator.run.directory import RunDir

    where = release_run(RunDir.open(run), tag)
    say(f'Released to {where}. Next: paris-coord sample "a red heart" --model {run / "release"}')


app.command()(distill)


app.command()(sample)


@app.command()
def report(
    run: RunArgument, out: Annotated[Path, typer.Option(help="Folder for pictures and tables.")] = Path("report")
) -> None:
    """Draw what a run learned and what it cost: samples.png, clusters.png, training.png, report.json, report.md."""
    from paris.coordinator.report.build import build_report
    from paris.coordinator.run.directory import RunDir

    build_report(RunDir.open(run), out)


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for the run and its report: new or empty, unless --overwrite.")
    ] = Path("demo"),
    quick: Annotated[bool, typer.Option(help="Under 90 seconds, less well trained.")] = False,
    recipe: Annotated[
        str | None, typer.Option(help="Another recipe than `emoji`: a name or a .toml file.", show_default=False)
    ] = None,
    volunteers: Annotated[int, typer.Option(help="How many paris-node processes.", min=1)] = 3,
    overwrite: Annotated[bool, typer.Option(help="Remove what an earlier demo left in the folder.")] = False,
) -> None:
    """See it all on one machine: Hub, coordinator, volunteers, four experts, router, release, pictures."""
    from paris.coordinator.demo.run import run_demo

    chosen = recipe or ("emoji-quick" if quick else "emoji")
    run_demo(out, recipe=chosen, num_volunteers=volunteers, overwrite=overwrite)


def main() -> None:
    """Entry point: errors become one clear line and an exit code."""
    end_with_parent_if_asked()
    fail_clearly(app, sys.argv[1:])


if __name__ == "__main__":
    main()
