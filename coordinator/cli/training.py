"""The commands that train on the organiser's machine: `warm-start`, `reference`, `train-router`, `distill`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paris.coordinator.cli.options import JsonOption, NoLockOption, RunArgument, expanded, open_run

DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda or mps.", show_default="device of [compute]")]


def warm_start(
    run: RunArgument, device: DeviceOption = None, as_json: JsonOption = False, no_lock: NoLockOption = False
) -> None:
    """Train the model that all experts start from, if run.toml requests one; run again to resume."""
    from paris.coordinator.cli.options import stop_on_signals
    from paris.coordinator.training.warm_start import warm_start_run

    warm_start_run(open_run(run, log_name="warm-start"), device, stop_on_signals().is_set, as_json=as_json)


def reference(
    run: RunArgument,
    clusters: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Clusters to train, as 0,1; name all of them at once.", show_default="all"),
    ] = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
    no_lock: NoLockOption = False,
) -> None:
    """Train experts of your own, whose skill by step submissions are measured against; run again to resume."""
    from paris.coordinator.cli.options import stop_on_signals
    from paris.coordinator.training.reference import make_reference

    chosen = None if clusters is None else _numbers(clusters)
    opened = open_run(run, log_name="reference")
    make_reference(opened, chosen, device, stop_on_signals().is_set, as_json=as_json)


def _numbers(clusters: str) -> list[int]:
    parts = [part.strip() for part in clusters.split(",")]
    if not all(part.isdecimal() for part in parts):
        from paris.coordinator.errors import ConfigError

        raise ConfigError(f"--clusters {clusters!r} is no list of clusters.", "Give their numbers, as --clusters 0,1.")
    return [int(part) for part in parts]


def train_router(
    run: RunArgument,
    from_samples: Annotated[
        bool, typer.Option("--from-samples", help="Train on samples of the experts instead of the data.")
    ] = False,
    samples_per_expert: Annotated[
        int | None, typer.Option(help="Mean number of samples of an expert.", min=1, show_default="1024")
    ] = None,
    null_prompt: Annotated[
        bool, typer.Option("--null-prompt", help="Draw samples without captions; needs no data.")
    ] = False,
    max_resident_experts: Annotated[int | None, typer.Option(help="Experts in memory at once.", min=1)] = None,
    no_lock: NoLockOption = False,
) -> None:
    """Train the router."""
    from paris.coordinator.training.router_request import request_router

    opened = open_run(run, log_name="train-router")
    if from_samples:
        from paris.coordinator.training.router_samples import SAMPLES_PER_EXPERT, draw_samples

        count = samples_per_expert or SAMPLES_PER_EXPERT
        draw_samples(opened, count, null_prompt=null_prompt, max_resident_experts=max_resident_experts)
    elif samples_per_expert or null_prompt or max_resident_experts:
        from paris.coordinator.errors import ConfigError

        options = "--samples-per-expert, --null-prompt and --max-resident-experts"
        raise ConfigError(f"{options} need --from-samples.", "Add --from-samples, or remove these options.")
    request_router(opened, from_samples=from_samples)


def distill(
    run: RunArgument,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the model.", show_default="RUN/distilled", callback=expanded)
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Optimizer steps.", min=1, show_default="those of an expert")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Rows of a step.", min=1, show_default="a quarter of the experts' total")
    ] = None,
    max_resident_experts: Annotated[
        int | None, typer.Option(help="Experts in memory at once; the others are loaded when needed.", min=1)
    ] = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
    no_lock: NoLockOption = False,
) -> None:
    """Distil the experts into one dense model, which needs no router; run again to resume."""
    from paris.coordinator.cli.options import stop_on_signals
    from paris.coordinator.training.distill import DistillRequest, distill_run

    request = DistillRequest(out, steps, batch_size, max_resident_experts, device)
    distill_run(open_run(run, log_name="distill"), request, stop_on_signals().is_set, as_json=as_json)
