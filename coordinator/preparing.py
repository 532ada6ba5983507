"""`paris-coord prepare`: from run.toml's [data] to the run directory's data folder, with progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from paris.coordinator.console import print_json, say
from paris.coordinator.rundir import RunDir

Report = Callable[[str, int, int], None]


def prepare_run(run: RunDir, *, as_json: bool, ray_address: str | None = None) -> None:
    """Prepare a run's data; finished stages of an earlier call are not done again.

    Args:
        run: The run directory.
        as_json: Progress as JSON lines on stdout.
        ray_address: A Ray cluster to work on instead of this machine.

    Raises:
        ParisError: As `paris.coordinator.prepare.prepare` raises.
    """
    from paris.coordinator.prepare import prepare, prepare_config

    config, settings = run.config, dict(run.config.data)
    settings |= {
        "num_clusters": config.run.num_experts,
        "codec": config.codec,
        "vocabulary": config.text["kind"] == "vocabulary",
    }
    settings.setdefault("seed", config.run.seed)
    with _json_lines() if as_json else _bars() as report:
        prepare(prepare_config(settings), run.data, report, ray_address=ray_address, codec_folder=run.data)
    say(f"Prepared {run.data}. Look at {run.data / 'clusters.png'}. Next: paris-coord publish-tasks {run.path}")


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
