"""`paris-coord prepare`: from run.toml's [data] to the run directory's data folder, with progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from paris.coordinator.console import print_json, say
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.initial_weights import convert_initial_weights

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Where:
    """Where the command line says to compute."""

    ray_address: str | None = None
    """A Ray cluster; None: this machine."""
    device: str | None = None
    """Of embedder and VAE; None: as [compute] says."""
    models: int | None = None
    """Copies of them that compute at once; None: one a machine."""


def prepare_run(run: RunDir, *, as_json: bool, given: dict[str, Any] | None = None, where: Where | None = None) -> None:
    """Prepare a run's data; finished stages of an earlier call are not done again.

    Args:
        run: The run directory.
        as_json: Progress as JSON lines on stdout.
        given: Settings of the command line, which go before those of [data].
        where: Where to compute.

    Raises:
        ParisError: As `paris.coordinator.prepare.prepare` raises.
    """
    from paris.coordinator.prepare import prepare, prepare_config
    from paris.coordinator.prepare.compute.engine import Engine

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
    settings |= given or {}
    where = where or Where()
    engine = Engine(where.ray_address, where.device or config.compute.device, where.models)
    with _json_lines() if as_json else _bars() as report:
        prepared = prepare(prepare_config(settings), run.data, report, engine=engine, codec_folder=run.data)
    if config.model.imagenet_weights is not None:
        convert_initial_weights(run, run.path / config.model.imagenet_weights)
    if prepared.dropped:
        reasons = ", ".join(f"{count} {reason}" for reason, count in prepared.dropped.items())
        say(f"Left out: {reasons}. Each of them: paris-coord dropped {run.path}")
    say(f"Prepared {run.data}. Look at it: paris-coord clusters {run.path} --open")
    following = "publish-tasks" if config.model.warm_start_steps is None else "warm-start"
    say(f"Next: paris-coord {following} {run.path}")


def print_dropped(run: RunDir, reason: str | None, *, as_json: bool) -> None:
    """Print the pictures that a finished preparation left out: name, reason, detail.

    Args:
        run: The run directory.
        reason: Only those of this reason, as `prepare` names it.
        as_json: One JSON object a line, instead of columns with tabs.

    Raises:
        NotPreparedError: Nothing is prepared.
    """
    from paris.coordinator.prepare.rows.drops import read_dropped

    for row in read_dropped(run.data, reason):
        if as_json:
            print_json(asdict(row))
        else:
            print(f"{row.row_id}\t{row.reason}\t{row.detail}")


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
