"""`paris-coord prepare` and `dropped`: prepare the data of a run as [data] says, and list the rows left out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from paris.coordinator.cli.options import quoted
from paris.coordinator.console import print_json, say, shows_progress
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.initial_weights import convert_initial_weights
from paris.protocol.printable import on_one_line

ProgressCallback = Callable[[str, int, int], None]
"""Takes stage, done, total."""


@dataclass(frozen=True)
class PrepareOptions:
    """Options of `paris-coord prepare`; None keeps the setting of run.toml."""

    captioner: str | None = None
    licences: str | None = None
    ray_address: str | None = None
    """A Ray cluster; None is this machine."""
    device: str | None = None
    """Of embedder and VAE."""
    models: int | None = None
    """Parallel copies of each model; None is one for each machine."""
    accept_changes: bool = False
    """Take a source whose files are not those that `init --data` looked at."""

    @property
    def data_settings(self) -> dict[str, Any]:
        """Fields that replace those of [data]."""
        settings = {"captioner": self.captioner, "licences": self.licences}
        return {name: value for name, value in settings.items() if value is not None}


def prepare_run(run: RunDir, options: PrepareOptions, *, as_json: bool) -> None:
    """Prepare the data of a run; a repeated call skips finished stages.

    Args:
        run: The run directory.
        options: Options of the command line.
        as_json: Print progress as JSON lines on stdout.

    Raises:
        ParisError: As `paris.coordinator.prepare.prepare`.
    """
    from paris.coordinator.prepare import prepare, prepare_config
    from paris.coordinator.prepare.compute.engine import Engine
    from paris.coordinator.prepare.sources import require_source
    from paris.coordinator.proposal.fingerprint import require_unchanged

    config, settings = run.config, dict(run.config.data)
    settings |= {
        "num_clusters": config.run.num_experts,
        "codec": config.codec,
        "vocabulary": config.text["kind"] == "vocabulary",
        "captions": config.reads_text,
    }
    settings.setdefault("seed", config.run.seed)
    if config.text["kind"] == "transformers":
        settings["tokenizer"] = config.text.get("tokenizer_path") or config.text["path"]
        settings["max_tokens"] = config.text["max_tokens"]
    settings |= options.data_settings
    checked = prepare_config(settings)
    require_source(checked.source)  # before networks are fetched, which may take long
    require_unchanged(run, checked.source, accept=options.accept_changes)
    _fetch_pretrained(run)
    engine = Engine(options.ray_address, options.device or config.compute.device, options.models)
    with _json_lines() if as_json else _bars() as report:
        prepared = prepare(checked, run.data, report, engine=engine, codec_folder=run.data)
    if config.model.imagenet_weights is not None:
        convert_initial_weights(run, run.path / config.model.imagenet_weights)
    if prepared.dropped:
        reasons = ", ".join(f"{count} {reason}" for reason, count in prepared.dropped.items())
        say(f"Left out: {reasons}. To list them: paris-coord dropped {quoted(run.path)}")
    say(f"Prepared {run.data}. To look at the clusters: paris-coord clusters {quoted(run.path)} --open")
    next_command = "publish-tasks" if config.model.warm_start_steps is None else "warm-start"
    say(f"Next: paris-coord {next_command} {quoted(run.path)}")


def _fetch_pretrained(run: RunDir) -> None:
    """Put the networks of [pretrained] into the data folder, where they are not there yet."""
    from paris.coordinator.prepare.pretrained import fetch_text_encoder, fetch_vae

    config, named = run.config, run.config.pretrained
    if named.vae is not None and config.codec.get("kind") == "vae":
        folder = run.data / str(config.codec.get("path", "vae"))
        if fetch_vae(named.vae, folder):
            say(f"Fetched {named.vae} into {folder}.")
    if named.text_encoder is not None and config.text["kind"] == "transformers":
        folder = run.data / str(config.text["path"])
        if fetch_text_encoder(named.text_encoder, str(config.text["model_class"]), folder):
            say(f"Fetched {named.text_encoder} into {folder}.")


def print_dropped(run: RunDir, reason: str | None, *, as_json: bool) -> None:
    """Print row id, reason and detail of the pictures that `prepare` left out.

    Args:
        run: The run directory.
        reason: Only pictures left out for this reason; None is all.
        as_json: Print JSON lines instead of tab-separated columns.

    Raises:
        NotPreparedError: The data is not prepared.
    """
    from paris.coordinator.prepare.rows.drops import read_dropped

    for row in read_dropped(run.data, reason):
        if as_json:
            print_json(asdict(row))
        else:
            print("\t".join(map(on_one_line, (row.row_id, row.reason, row.detail))))


@contextmanager
def _json_lines() -> Iterator[ProgressCallback]:
    lock = threading.Lock()

    def report(stage: str, done: int, total: int) -> None:
        with lock:
            print_json({"at": time.time(), "event": "progress", "stage": stage, "done": done, "total": total})

    yield report


@contextmanager
def _bars() -> Iterator[ProgressCallback]:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    bars: dict[str, TaskID] = {}
    with Progress(console=Console(stderr=True), disable=not shows_progress()) as progress:

        def report(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(stage, total=total)
            progress.update(bars[stage], completed=done, total=total)

        yield report
