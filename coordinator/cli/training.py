"""The commands of `paris-coord` that train on the organiser's machine: a common start, the router, a student."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paris.coordinator.cli.options import JsonOption, RunArgument

DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda, mps.", show_default="that of run.toml")]


def warm_start(run: RunArgument, device: DeviceOption = None, as_json: JsonOption = False) -> None:
    """Train what all experts start from, where run.toml asks for that; the same command goes on."""
    from paris.coordinator.cli.options import stop_on_signals
    from paris.coordinator.run.directory import RunDir
    from paris.coordinator.training.warm_start import warm_start_run

    warm_start_run(RunDir.open(run), device, stop_on_signals().is_set, as_json=as_json)


def train_router(
    run: RunArgument,
    from_samples: Annotated[
        bool, typer.Option("--from-samples", help="Train on pictures that the experts draw, instead of data.")
    ] = False,
    samples_per_expert: Annotated[
        int | None, typer.Option(help="Pictures that an expert draws, on average.", min=1, show_default="1024")
    ] = None,
    null_prompt: Annotated[
        bool, typer.Option("--null-prompt", help="Draw without the captions of the data, which need not be here then.")
    ] = False,
    max_resident_experts: Annotated[int | None, typer.Option(help="Experts in memory at once.", min=1)] = None,
) -> None:
    """Train the router that joins the experts."""
    from paris.coordinator.run.directory import RunDir
    from paris.coordinator.training.router_request import train_router_now

    opened = RunDir.open(run)
    if from_samples:
        from paris.coordinator.training.router_samples import SAMPLES_PER_EXPERT, draw_samples

        count = samples_per_expert or SAMPLES_PER_EXPERT
        draw_samples(opened, count, null_prompt=null_prompt, max_resident_experts=max_resident_experts)
    elif samples_per_expert or null_prompt or max_resident_experts:
        from paris.coordinator.errors import ConfigError

        raise ConfigError("How experts draw is told without --from-samples.", "Add --from-samples, or leave it out.")
    train_router_now(opened, from_samples=from_samples)


def distill(
    run: RunArgument,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the model.", show_default="distilled in the run directory")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps.", min=1, show_default="as an expert's")] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Rows of a step.", min=1, show_default="a quarter of all experts' together")
    ] = None,
    max_resident_experts: Annotated[
        int | None, typer.Option(help="Experts in memory at once; the others are fetched meanwhile.", min=1)
    ] = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Distil the experts into one dense model, which samples without a router; the same command goes on."""
    from paris.coordinator.cli.options import stop_on_signals
    from paris.coordinator.run.directory import RunDir
    from paris.coordinator.training.distill import DistillRequest, distill_run

    request = DistillRequest(out, steps, batch_size, max_resident_experts, device)
    distill_run(RunDir.open(run), request, stop_on_signals().is_set, as_json=as_json)
