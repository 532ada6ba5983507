"""`paris-node`: the volunteer's command. Each command imports what it needs when it runs: --help stays fast."""

from __future__ import annotations

from typing import Annotated

import typer

from paris.node.control_commands import finish, leave, log, pause, resume, status
from paris.node.doctor_command import doctor
from paris.node.home_commands import credits, gc
from paris.node.identity_commands import identity_app
from paris.node.options import (
    DeviceOption,
    DownloadOption,
    HomeOption,
    HubOption,
    JsonOption,
    NoLockOption,
    NotWhileOption,
    PageHostOption,
    PageOption,
    PagePortOption,
    PlainHttpOption,
    RunArgument,
    RunIdOption,
    ShareOption,
    TaskWaitOption,
    Terminal,
    clear_errors,
    home_path,
    make_node_view,
)
from paris.protocol.lifeline import exit_with_parent
from paris.protocol.logs import LogFormat
from paris.protocol.streams import protect_streams
from paris.protocol.version import version_printer

app = typer.Typer(
    name="paris-node",
    help="Give a machine's time to a Paris run: `paris-node join RUN`.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
app.add_typer(identity_app, name="identity")

VersionOption = Annotated[
    bool, typer.Option("--version", help="Print the version.", callback=version_printer("paris-node"), is_eager=True)
]


@app.callback()
def paris_node(
    context: typer.Context,
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
    version: VersionOption = False,
) -> None:
    """Set what all commands show."""
    from paris.protocol.logs import start_logging

    start_logging(-1 if quiet else verbose, log_format)
    context.obj = Terminal(quiet, log_format)


@app.command()
def join(
    context: typer.Context,
    run: RunArgument,
    home: HomeOption = None,
    run_id: RunIdOption = None,
    name: Annotated[str | None, typer.Option(help="Shown beside your contributions.")] = None,
    device: DeviceOption = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads to train with.")] = None,
    hub_endpoint: HubOption = None,
    invite: Annotated[str | None, typer.Option(help="What the organiser's `paris-coord invite` printed.")] = None,
    max_tasks: Annotated[int | None, typer.Option(min=1, help="Leave after so many tasks.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Leave after one task.")] = False,
    task_wait_s: TaskWaitOption = None,
    download_bytes_per_s: DownloadOption = None,
    share_shards: ShareOption = None,
    hours: Annotated[str | None, typer.Option(help="Train only at these hours, such as 22:00-07:00.")] = None,
    only_when_idle: Annotated[bool | None, typer.Option("--only-when-idle", help="Train while nobody uses it.")] = None,
    not_on_battery: Annotated[bool | None, typer.Option("--not-on-battery", help="Pause on battery.")] = None,
    not_while: NotWhileOption = None,
    max_temperature_c: Annotated[int | None, typer.Option(help="Pause when the device is hotter.")] = None,
    gpu_memory_share: Annotated[float | None, typer.Option(help="Share of the GPU's memory, such as 0.5.")] = None,
    gpu_power_limit_w: Annotated[int | None, typer.Option(help="Power limit of an NVIDIA GPU; needs rights.")] = None,
    page: PageOption = None,
    page_port: PagePortOption = None,
    page_host: PageHostOption = None,
    allow_plain_http: PlainHttpOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Join without being asked.")] = False,
    as_json: JsonOption = False,
    no_lock: NoLockOption = False,
) -> None:
    """Join a run: wait for tasks, train them, submit them. Run the same command again to continue."""
    view = make_node_view(context, as_json=as_json)
    flags = {
        "name": name,
        "device": device,
        "threads": threads,
        "hub_endpoint": hub_endpoint,
        "download_bytes_per_s": download_bytes_per_s,
        "share_shards": share_shards,
        "hours": hours,
        "only_when_idle": only_when_idle,
        "not_on_battery": not_on_battery,
        "not_while": not_while or None,
        "max_temperature_c": max_temperature_c,
        "gpu_memory_share": gpu_memory_share,
        "gpu_power_limit_w": gpu_power_limit_w,
        "page": page,
        "page_port": page_port,
        "page_host": page_host,
        "allow_plain_http": allow_plain_http,
    }
    with clear_errors(view):
        from paris.node.devices.together import join as join_run
        from paris.node.join.request import Request
        from paris.node.welcome.welcome import Welcome, is_someone_there

        request = Request(run, home_path(home), run_id, flags, invite)
        welcome = Welcome(view, agreed=yes, asks=is_someone_there() and not as_json)
        most, log_format = 1 if once else max_tasks, context.obj.log_format
        join_run(request, view, max_tasks=most, task_wait_s=task_wait_s, introduce=welcome, log_format=log_format)


@app.command()
def hand_in(
    context: typer.Context,
    run: RunArgument,
    home: HomeOption = None,
    run_id: RunIdOption = None,
    hub_endpoint: HubOption = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Do not wait for the verdict; the next join reads it.")
    ] = False,
    allow_plain_http: PlainHttpOption = None,
    no_lock: NoLockOption = False,
) -> None:
    """Hand in what the unfinished task has so far, after `join` was stopped: the next volunteer goes on from there."""
    view = make_node_view(context, as_json=False)
    flags = {"hub_endpoint": hub_endpoint, "allow_plain_http": allow_plain_http}
    with clear_errors(view):
        from paris.node.devices.offline import requests_of
        from paris.node.join.joining import running_agent
        from paris.node.join.request import Request
        from paris.node.join.stopping import stopping
        from paris.node.retry import StopSignal

        stop = StopSignal()
        with stopping(stop):
            for request in requests_of(Request(run, home_path(home), run_id, flags)).values():
                with running_agent(request, view, stop, uploads=True) as agent:
                    agent.hand_in(waits=not no_wait)


for _command in (doctor, pause, resume, finish, leave, status, credits, log, gc):
    app.command()(_command)
app.command("check", hidden=True)(doctor)  # its name in earlier versions


def main() -> None:
    """Entry point of `paris-node`."""
    protect_streams()
    exit_with_parent()
    app()


if __name__ == "__main__":
    main()
