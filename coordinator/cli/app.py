"""`paris-coord`: the organiser's command. Each command's work lives in a module of its own, imported when it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from paris.coordinator.cli.backup import backup, restore
from paris.coordinator.cli.browsing import browse
from paris.coordinator.cli.data import clusters, dropped, prepare
from paris.coordinator.cli.invite import invite, invites
from paris.coordinator.cli.new_run import check_config, init
from paris.coordinator.cli.notifying import notify
from paris.coordinator.cli.options import JsonOption, NoLockOption, RunArgument, expanded, open_run, quoted
from paris.coordinator.cli.orders import (
    allow,
    ban,
    pause,
    recheck,
    revoke,
    roll_back,
    unpause,
    unregister,
    withdraw_invite,
)
from paris.coordinator.cli.planning import plan, recipes
from paris.coordinator.cli.sampling import sample
from paris.coordinator.cli.training import distill, reference, train_router, warm_start
from paris.coordinator.cli.trying import try_model
from paris.coordinator.console import fail_clearly, print_json, say
from paris.protocol.lifeline import exit_with_parent
from paris.protocol.logs import LogFormat
from paris.protocol.streams import protect_streams, require_stdout
from paris.protocol.version import version_printer

app = typer.Typer(
    name="paris-coord",
    help="Organise a Paris run: prepare data, publish tasks, serve, verify, release.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def paris_coord(
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            show_default=False,
            help="Log more on stderr: -v what is done, -vv everything.",
        ),
    ] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show problems alone.")] = False,
    log_format: Annotated[
        LogFormat, typer.Option("--log-format", help="Lines on stderr and in log files: text or json.")
    ] = "text",
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=version_printer("paris-coord"), is_eager=True),
    ] = False,
) -> None:
    """Set what all commands show."""
    from paris.coordinator.console import set_up_terminal
    from paris.protocol.logs import start_logging

    start_logging(-1 if quiet else verbose, log_format)
    set_up_terminal(quiet=quiet, log_format=log_format)


for command in (init, recipes, check_config, plan, prepare, clusters, dropped, warm_start, reference):
    app.command()(command)


@app.command()
def publish_tasks(
    run: RunArgument,
    despite_plan: Annotated[
        bool, typer.Option("--despite-plan", help="Publish although the plan shows that a setting cannot work.")
    ] = False,
) -> None:
    """Open the task of each expert. A running `serve` publishes it at once, else the next `serve` does."""
    from paris.coordinator.run.directory import RunDir
    from paris.coordinator.service.tasks import open_tasks

    tasks = open_tasks(RunDir.open(run), despite_plan=despite_plan)
    say(f"{tasks}. Next: paris-coord serve {quoted(run)}")


@app.command()
def serve(
    run: RunArgument,
    as_json: JsonOption = False,
    signer: Annotated[
        Path | None,
        typer.Option(metavar="SOCKET", help="Let `paris-coord signer` sign, which has the key.", callback=expanded),
    ] = None,
    no_lock: NoLockOption = False,
) -> None:
    """Serve the run: DHT peer, leases, verification, registration, and the embedded Hub if run.toml has one."""
    from paris.coordinator.cli.options import event_printer, stop_on_signals
    from paris.coordinator.service.startup import serve as run_service

    stop = stop_on_signals()
    opened = open_run(run, log_name="coordinator", signer=signer)
    run_service(opened, event_printer(as_json), stop)


@app.command()
def signer(
    run: RunArgument,
    socket: Annotated[
        Path | None, typer.Option(help="Where to answer.", show_default="RUN/signer.sock", callback=expanded)
    ] = None,
) -> None:
    """Hold keys/run.key in this process and sign for `paris-coord serve --signer`: only valid records of the run."""
    from paris.coordinator.cli.options import stop_on_signals
    from paris.coordinator.signer.key import RunKey
    from paris.coordinator.signer.server import serve_key

    stop, opened = stop_on_signals(), open_run(run, log_name="signer")
    path = socket or opened.path / "signer.sock"
    say(f"Signing for {opened.run_id} at {path}.")
    serve_key(RunKey(opened), path, stop)


@app.command()
def hub(
    data: Annotated[Path, typer.Option(help="Folder of the repos.", callback=expanded)],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 picks a free one.")] = 8484,
    open_registration: Annotated[
        bool,
        typer.Option(
            "--open-registration", help="Accept unknown tokens as new volunteers, who may open pull requests."
        ),
    ] = False,
    no_lock: NoLockOption = False,
) -> None:
    """Serve a Hub for the stock huggingface_hub client and `hf`."""
    from paris.coordinator.hub import serve as serve_hub

    say(f"The administrator's token is in {data / 'admin.token'}.")
    serve_hub(data, host=host, port=port, open_registration=open_registration)


app.command()(browse)


@app.command()
def status(
    run: RunArgument,
    as_json: JsonOption = False,
    watch: Annotated[bool, typer.Option(help="Refresh until the run is complete.")] = False,
) -> None:
    """Show the tasks and who works on them; with --json also volunteers, submissions and verdicts."""
    from paris.coordinator.report.status import print_status, read_status
    from paris.coordinator.run.directory import RunDir

    require_stdout()
    opened = RunDir.open(run)
    if as_json:
        print_json(read_status(opened))
    else:
        print_status(opened, watch=watch)


@app.command()
def leaderboard(run: RunArgument, as_json: JsonOption = False) -> None:
    """Show the volunteers by their verified steps."""
    from paris.coordinator.report.leaderboard import print_leaderboard, read_leaderboard
    from paris.coordinator.run.directory import RunDir

    require_stdout()
    rows = read_leaderboard(RunDir.open(run))
    if as_json:
        print_json({"volunteers": rows})
    else:
        print_leaderboard(rows)


for order in (ban, allow, invite, invites, withdraw_invite, revoke, unregister, roll_back, recheck, pause, unpause):
    app.command()(order)


@app.command()
def gc(run: RunArgument, as_json: JsonOption = False, no_lock: NoLockOption = False) -> None:
    """Delete what the run no longer needs: old rejected submissions, leftovers, points of long curves."""
    from paris.coordinator.cli.garbage import collect

    collect(open_run(run, log_name="gc"), as_json=as_json)


app.command()(notify)
app.command()(backup)
app.command()(restore)
app.command()(train_router)


@app.command()
def release(
    run: RunArgument,
    tag: Annotated[str | None, typer.Option(help="A further tag on the Hub, beside release-... of its files.")] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Draw samples for its card.", show_default=True)
    ] = True,
    no_lock: NoLockOption = False,
) -> None:
    """Assemble the registered experts and the router into one model, and upload it to the Hub."""
    from paris.coordinator.release.assemble import release_run
    from paris.coordinator.release.sample import sample_command

    opened = open_run(run, log_name="release")
    made = release_run(opened, tag, lambda stage: say(f"{stage.capitalize()}."), draws=pictures)
    where = f"{opened.release} and {opened.config.hub.model_repo} at {made}"
    say(f"Released to {where}. Next: {sample_command(opened, run / 'release')}")


app.command()(distill)


app.command()(sample)


app.command("try")(try_model)


@app.command()
def report(
    run: RunArgument,
    out: Annotated[Path, typer.Option(help="Folder for figures and tables.", callback=expanded)] = Path("report"),
    samples: Annotated[int, typer.Option(help="Samples to draw and measure, beside those of the grid.", min=16)] = 512,
) -> None:
    """Report results and costs of a run: samples.png, clusters.png, training.png, report.json, report.md."""
    from paris.coordinator.report.build import build_report
    from paris.coordinator.run.directory import RunDir

    build_report(RunDir.open(run), out, samples)


@app.command()
def demo(
    out: Annotated[
        Path,
        typer.Option(help="Folder for the run and its report; an unfinished demo in it continues.", callback=expanded),
    ] = Path("demo"),
    quick: Annotated[bool, typer.Option("--quick", help="Train less, in less time.")] = False,
    recipe: Annotated[
        str | None, typer.Option(help="Recipe instead of `emoji`: a name or a .toml file.", show_default=False)
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Your own pictures: a folder, Parquet, tars, or org/name of a data set."),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="With --data: the time for everything, at most a week.", show_default="10")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="With --data: cpu, cuda or mps.", show_default="a GPU if there is one")
    ] = None,
    volunteers: Annotated[
        int | None, typer.Option(help="Number of paris-node processes.", show_default="3; by the cores", min=1)
    ] = None,
    strangers: Annotated[
        bool | None,
        typer.Option(
            help="One volunteer hands over in the middle of its training, and one is a cheat.",
            show_default="with the recipe emoji",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo in the folder.")] = False,
    no_lock: NoLockOption = False,
) -> None:
    """Run everything on this machine: Hub, coordinator, volunteers, experts, router, release, report."""
    from paris.coordinator.cli.demo_options import DemoOptions, start_demo

    options = DemoOptions(quick, recipe, data, minutes, device, volunteers, strangers)
    start_demo(out, options, overwrite=overwrite)


def main() -> None:
    """Entry point: errors become one clear line and an exit code."""
    protect_streams()
    exit_with_parent()
    fail_clearly(app, sys.argv[1:])


if __name__ == "__main__":
    main()
