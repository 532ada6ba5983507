"""`paris-coord gc`."""

from __future__ import annotations

import contextlib

from paris.coordinator.console import print_json, say
from paris.coordinator.errors import RunDirError
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.locks import serve_lock
from paris.coordinator.service.garbage import collect_garbage
from paris.coordinator.state.reading import open_store


def collect(run: RunDir, *, as_json: bool) -> None:
    """Delete what the run no longer needs, and say how much that was.

    The database is compacted only while the run is not served, because that locks it.
    """
    before = _state_bytes(run)
    store = open_store(run)
    try:
        freed = collect_garbage(run, store.load())
        with contextlib.suppress(RunDirError), serve_lock(run):
            store.compact()
    finally:
        store.close()
    freed += max(0, before - _state_bytes(run))
    if as_json:
        print_json({"freed_bytes": freed})
    say(f"Freed {freed} bytes in {run.path}.")


def _state_bytes(run: RunDir) -> int:
    files = [run.path / f"{run.state_file.name}{ending}" for ending in ("", "-wal")]
    return sum(path.stat().st_size for path in files if path.exists())
