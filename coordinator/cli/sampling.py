"""`paris-coord sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paris.coordinator.cli.options import JsonOption, expanded


def sample(
    model: Annotated[str, typer.Option(help="A release folder, or org/repo on a Hub.")],
    prompt: Annotated[
        list[str] | None, typer.Argument(help="Prompts; each is a row of the grid. A model without text takes none.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Picture file to write: .png, .jpg or .webp.", callback=expanded)] = Path(
        "sample.png"
    ),
    seeds: Annotated[int, typer.Option(help="Pictures of each prompt.", min=1)] = 4,
    seed: Annotated[int, typer.Option(help="First seed.", min=0)] = 0,
    negative: Annotated[str | None, typer.Option(help="Negative prompt.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.", min=1)] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale; 1 turns guidance off.", min=0)] = None,
    solver: Annotated[str | None, typer.Option(help="euler, heun, ab2, ab3 or dpmpp-2m.")] = None,
    routing: Annotated[str | None, typer.Option(help="top1, top2, ..., full, threshold or ancestral.")] = None,
    max_experts: Annotated[int | None, typer.Option(help="Maximum number of experts of a picture.", min=1)] = None,
    routing_threshold: Annotated[
        float | None, typer.Option(help="Leave out experts with a lower probability.", min=0, max=1)
    ] = None,
    routing_plot: Annotated[Path | None, typer.Option(help="Plot which expert drew what: .png, .svg or .pdf.")] = None,
    trace: Annotated[
        Path | None, typer.Option(help="Write the experts' weights at each step, as JSON.", callback=expanded)
    ] = None,
    max_resident_experts: Annotated[
        int | None, typer.Option(help="Experts in memory at once; the others are loaded when needed.", min=1)
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps.", show_default="a GPU if there is one")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Endpoint of the Hub, for org/repo.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit, for org/repo.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw pictures from a release. The release sets the defaults of all sampling options."""
    from paris.coordinator.release.sample import ModelSource, SampleRequest, SamplingOverrides, sample_to_file

    request = SampleRequest(
        source=ModelSource(model, endpoint, revision, device, max_resident_experts),
        prompts=prompt or [],
        seeds=list(range(seed, seed + seeds)),
        negative=negative,
        overrides=SamplingOverrides(steps, guidance, routing, max_experts, routing_threshold, solver),
    )
    sample_to_file(request, out, routing_plot=routing_plot, trace=trace, as_json=as_json)
