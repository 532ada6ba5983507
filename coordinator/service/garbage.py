"""What a run directory no longer needs: files of submissions that were judged long ago, and of killed processes.

Kept for ever: candidates of registered experts and of legs whose state is kept, which later submissions are compared
with, and everything that a run needs to go on.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from paris.coordinator.decisions.legs import forgotten_legs
from paris.coordinator.run.directory import RunDir
from paris.coordinator.state.model import State
from paris.coordinator.verify import REPLAY_FOLDER

_KEPT_S = 30 * 86400.0
"""Reports and logs of rejected submissions stay this long after they were written."""
_LEFTOVER_S = 86400.0


def collect_garbage(run: RunDir, state: State, kept_s: float = _KEPT_S) -> int:
    """Delete what is no longer needed; may be called while the run is served.

    Args:
        run: The run directory.
        state: Its present state.
        kept_s: How long reports and logs of closed submissions are kept, seconds.

    Returns:
        Bytes freed.
    """
    now = time.time()
    freed = sum(_delete(path) for path in _leftovers(run.path) if now - _changed_at(path) > _LEFTOVER_S)
    closed = {lease_id for lease_id, known in state.submissions.items() if known.phase == "closed"}
    for leg in forgotten_legs(state.submissions.values()):
        freed += _delete_files(run.verify / leg.submission.lease_id)
    for folder in run.verify.glob("*"):
        if folder.name in state.submissions and folder.name not in closed:
            continue
        is_old = now - _changed_at(folder) > kept_s
        if folder.name in closed:
            freed += _delete_files(folder)
        if is_old:
            freed += _delete(folder) + _delete(run.logs / f"verify-{folder.name[:8]}.log")
    return freed


def _leftovers(folder: Path) -> Iterable[Path]:
    """Temporary files of writes that were killed (`experts/files.py`)."""
    for place in (folder, folder / "data", folder / "keys", folder / "router", folder / "release"):
        yield from place.glob(".*.part")


def _changed_at(path: Path) -> float:
    """UTC seconds of the newest file in a folder, or of the file."""
    try:
        return max(file.stat().st_mtime for file in (path, *path.rglob("*")))
    except OSError:
        return time.time()  # it is being written or deleted now


def _delete_files(folder: Path) -> int:
    """Delete what was fetched and trained to verify a submission, not its report; return the bytes."""
    return _delete(folder / "candidate") + _delete(folder / REPLAY_FOLDER)


def _delete(path: Path) -> int:
    """Delete a file or a folder; return its bytes."""
    if not path.exists():
        return 0
    files = [file for file in (path, *path.rglob("*")) if file.is_file()]
    num_bytes = sum(file.stat().st_size for file in files)
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    return num_bytes
