"""The commands of `paris-coord` about data: prepare it, show its clusters, list what was left out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paris.coordinator.cli.options import JsonOption, RunArgument


def prepare(
    run: RunArgument,
    as_json: JsonOption = False,
    captioner: Annotated[
        str | None, typer.Option(help="BLIP or BLIP-2 model, name or folder, for pictures without a caption.")
    ] = None,
    licences: Annotated[str | None, typer.Option(help="Take only these, as cc-by,cc0.")] = None,
    ray: Annotated[str | None, typer.Option(metavar="ADDRESS", help="A Ray cluster to compute on.")] = None,
    device: Annotated[
        str | None, typer.Option(help="Where embedder and VAE compute.", show_default="run.toml's [compute] device")
    ] = None,
    models: Annotated[
        int | None, typer.Option(help="Copies of the model that compute at once, a GPU each on cuda.", min=1)
    ] = None,
) -> None:
    """Cut the data into clusters, shards and manifests; killed, the same command goes on."""
    from paris.coordinator.cli.preparing import Where, prepare_run
    from paris.coordinator.run.directory import RunDir

    given = {name: value for name, value in (("captioner", captioner), ("licences", licences)) if value is not None}
    prepare_run(RunDir.open(run), as_json=as_json, given=given, where=Where(ray, device, models))


def clusters(
    run: RunArgument,
    out: Annotated[Path | None, typer.Option(help="Write the page here.", show_default="data/clusters.html")] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what each cluster is: one page with pictures, words and figures."""
    from paris.coordinator.cli.clusters import show_clusters
    from paris.coordinator.run.directory import RunDir

    show_clusters(RunDir.open(run), out, open_page=open_page, as_json=as_json)


def dropped(
    run: RunArgument,
    as_json: JsonOption = False,
    reason: Annotated[str | None, typer.Option(help="Only those of this reason.")] = None,
) -> None:
    """List the pictures that `prepare` left out, each with its reason."""
    from paris.coordinator.cli.preparing import print_dropped
    from paris.coordinator.run.directory import RunDir

    print_dropped(RunDir.open(run), reason, as_json=as_json)
