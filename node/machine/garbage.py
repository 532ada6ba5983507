"""What a home no longer needs: the work of units that ended, partial downloads, leftovers of killed writes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from paris.experts.training.commitments import scheduled_folder
from paris.node.machine.home import Home
from paris.node.machine.unit import FINAL, Unit, UnitFolder
from paris.protocol.work_records import Lease

_LEFTOVER_S = 86400.0


def free_ended_units(home: Home, run_id: str, next_lease: Lease | None = None) -> int:
    """Delete the snapshots and weights of a run's units that ended; their records and logs stay.

    Args:
        home: The volunteer's folder.
        run_id: The run.
        next_lease: The state that this lease starts from stays.

    Returns:
        Bytes freed.
    """
    freed = 0
    for folder, unit in home.units(run_id):
        if unit.state in FINAL:
            is_next = next_lease is not None and unit.task.task_id == next_lease.task_id and next_lease.start_step
            freed += folder.delete_big_files(scheduled_folder(folder.snapshots, is_next) if is_next else None)
    return freed


def free_accepted_unit(folder: UnitFolder, unit: Unit) -> None:
    """Delete what an accepted unit no longer needs: all but the state from which the next leg may start."""
    steps = unit.finished.steps if unit.is_leg and unit.finished else unit.task.steps
    folder.delete_big_files(scheduled_folder(folder.snapshots, steps) if steps < unit.task.steps else None)


def collect_garbage(home: Home, *, with_cache: bool) -> int:
    """Delete what no unfinished unit needs. Call with the home's lock held.

    Args:
        home: The volunteer's folder.
        with_cache: Also delete whole downloaded files; an unfinished unit fetches its own again.

    Returns:
        Bytes freed.
    """
    freed = sum(free_ended_units(home, run_id) for run_id in home.run_ids())
    leftovers = [*home.path.glob("**/.*.part"), *_partial_downloads(home.cache)]
    freed += sum(_delete(path) for path in leftovers if time.time() - path.stat().st_mtime > _LEFTOVER_S)
    if with_cache and home.cache.is_dir():
        freed += sum(_delete(path) for path in list(home.cache.iterdir()))
    return freed


def _partial_downloads(cache: Path) -> Iterable[Path]:
    return (path for ending in ("part", "peer") for path in cache.glob(f"*.{ending}") if not path.name.startswith("."))


def _delete(path: Path) -> int:
    """Delete a file or a folder; return its bytes."""
    if not path.exists():
        return 0
    num_bytes = sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    return num_bytes
