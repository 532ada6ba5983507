"""The commands about data: `prepare`, `clusters`, `dropped`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paris.coordinator.cli.options import JsonOption, NoLockOption, RunArgument, expanded, open_run
from paris.protocol.streams import require_stdout


def prepare(
    run: RunArgument,
    as_json: JsonOption = False,
    captioner: Annotated[
        str | None, typer.Option(help="BLIP or BLIP-2 model (name or folder) for pictures without a caption.")
    ] = None,
    licences: Annotated[
        str | None, typer.Option(help="Keep only pictures with these licences, such as cc-by,cc0.")
    ] = None,
    ray: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Address of a Ray cluster to compute on.")] = None,
    device: Annotated[
        str | None, typer.Option(help="Device of embedder and VAE.", show_default="device of [compute]")
    ] = None,
    models: Annotated[
        int | None, typer.Option(help="Parallel copies of each model; on cuda one GPU each.", min=1)
    ] = None,
    accept_changes: Annotated[
        bool,
        typer.Option("--accept-changes", help="Take the pictures though they are not those that `init --data` saw."),
    ] = False,
    no_lock: NoLockOption = False,
) -> None:
    """Divide the data into clusters, shards and manifests; run again to resume."""
    from paris.coordinator.cli.preparing import PrepareOptions, prepare_run

    options = PrepareOptions(captioner, licences, ray, device, models, accept_changes)
    prepare_run(open_run(run, log_name="prepare"), options, as_json=as_json)


def clusters(
    run: RunArgument,
    out: Annotated[
        Path | None,
        typer.Option(help="Copy the page to this file.", show_default="data/clusters.html", callback=expanded),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Describe each cluster on an HTML page: pictures, words and figures."""
    from paris.coordinator.cli.clusters import show_clusters
    from paris.coordinator.run.directory import RunDir

    show_clusters(RunDir.open(run), out, open_page=open_page, as_json=as_json)


def dropped(
    run: RunArgument,
    as_json: JsonOption = False,
    reason: Annotated[str | None, typer.Option(help="Only pictures left out for this reason.")] = None,
) -> None:
    """List the pictures that `prepare` left out, with their reasons."""
    from paris.coordinator.cli.preparing import print_dropped
    from paris.coordinator.run.directory import RunDir

    require_stdout()
    print_dropped(RunDir.open(run), reason, as_json=as_json)
