"""`paris-coord prepare`: from run.toml's [data] to the run directory's data folder, with progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from paris.coordinator.console import print_json, say
from paris.coordinator.rundir import RunDir, write_whole
from paris.coordinator.spec import model_config
from paris.protocol.records import PartFile

Report = Callable[[str, int, int], None]


def prepare_run(
    run: RunDir,
    *,
    as_json: bool,
    ray_address: str | None = None,
    device: str | None = None,
    models: int | None = None,
) -> None:
    """Prepare a run's data; finished stages of an earlier call are not done again.

    Args:
        run: The run directory.
        as_json: Progress as JSON lines on stdout.
        ray_address: A Ray cluster to work on instead of this machine.
        device: Where embedder and VAE compute; None: as [compute] says.
        models: How many copies of them compute at once; None: one a machine.

    Raises:
        ParisError: As `paris.coordinator.prepare.prepare` raises.
    """
    from paris.coordinator.prepare import prepare, prepare_config
    from paris.coordinator.prepare.engine import Engine

    config, settings = run.config, dict(run.config.data)
    settings |= {
        "num_clusters": config.run.num_experts,
        "codec": config.codec,
        "vocabulary": config.text["kind"] == "vocabulary",
    }
    settings.setdefault("seed", config.run.seed)
    if config.text["kind"] == "transformers":
        settings["tokenizer"] = config.text.get("tokenizer_path") or config.text["path"]
        settings["max_tokens"] = config.text["max_tokens"]
    engine = Engine(ray_address, device or config.compute.device, models)
    with _json_lines() if as_json else _bars() as report:
        prepare(prepare_config(settings), run.data, report, engine=engine, codec_folder=run.data)
    if config.model.imagenet_weights is not None:
        convert_initial_weights(run, run.path / config.model.imagenet_weights)
    say(f"Prepared {run.data}. Look at it: paris-coord clusters {run.path} --open")
    say(f"Next: paris-coord publish-tasks {run.path}")


def convert_initial_weights(run: RunDir, checkpoint: Path) -> PartFile:
    """Make what all experts start from out of a DiT that was trained on ImageNet; it travels with the run's data.

    Args:
        run: A prepared run directory.
        checkpoint: A safetensors file with DiT's own names, or those of diffusers.

    Raises:
        CheckpointError: The file is missing, or no DiT of the run's shape; earlier initial weights are as they were.
        DiskFullError: No space for the converted weights.
    """
    from paris.experts.models.imagenet import from_imagenet_dit
    from paris.experts.models.initial_weights import write_initial_weights

    expert = from_imagenet_dit(checkpoint, model_config(run), run.config.run.seed)
    weights = PartFile.model_validate(write_initial_weights(run.data, expert).to_settings())
    write_whole(run.initial_weights, weights.model_dump_json().encode())
    return weights


@contextmanager
def _json_lines() -> Iterator[Report]:
    lock = threading.Lock()

    def report(stage: str, done: int, total: int) -> None:
        with lock:
            print_json({"at": time.time(), "event": "progress", "stage": stage, "done": done, "total": total})

    yield report


@contextmanager
def _bars() -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    bars: dict[str, TaskID] = {}
    with Progress(console=Console(stderr=True)) as progress:

        def report(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(stage, total=total)
            progress.update(bars[stage], completed=done, total=total)

        yield report
