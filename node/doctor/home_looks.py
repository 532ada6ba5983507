"""Settings, home, identity and disk."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from paris.node.doctor.finding import Finding, fine, problem, warning
from paris.node.doctor.known import Known
from paris.node.machine.config import load_config
from paris.node.machine.hardware import gib
from paris.protocol.locks import try_lock
from paris.protocol.signing import Identity

_MIN_FREE_BYTES = 2 * 2**30
_WRITTEN_BYTES = 8 << 20
_NUM_SYNCS = 5
_SLOW_SYNC_S = 0.5


def settings(known: Known) -> Iterator[Finding]:
    """Read the settings; without them the later looks take the defaults."""
    config = load_config(known.home.path, os.environ, known.flags)
    known.config = config
    names = sorted(config.model_fields_set)
    yield fine("settings", f"set here: {', '.join(names)}" if names else "the defaults")


def home(known: Known) -> Iterator[Finding]:
    """Whether the home is free for a node."""
    path = known.home.path
    if not path.exists():
        yield fine("home", f"{path}, made by the first join")
        return
    lock = path / "lock"
    held = try_lock(lock) if lock.exists() else None
    if held is not None:
        held.close()
    elif lock.exists():
        known.is_running = True
        holder = lock.read_text("ascii", "replace").strip() or "unknown"
        yield warning(
            "home",
            f"A paris-node (process {holder}) works in {path}.",
            "See what it does: paris-node status. A second node needs a home of its own: --home DIR.",
        )
        return
    runs = len(known.home.run_ids())
    yield fine("home", f"{path}, runs joined: {runs}, no node runs in it")


def identity(known: Known) -> Iterator[Finding]:
    """Whether the key can be used, and by its owner alone."""
    path = known.home.identity
    if not path.exists():
        yield fine("identity", "none yet: the first join makes it")
        return
    public_key = Identity.load(path).public_key
    if path.stat().st_mode & 0o077:
        yield warning("identity", f"Other users of this machine can read {path}, and sign as you.", f"chmod 600 {path}")
        return
    yield fine("identity", f"{public_key[:12]}..., readable by you alone")


def disk(known: Known) -> Iterator[Finding]:
    """Free space, how fast files are on the disk for certain, and locks; in the home, or where it will be made."""
    folder = existing_part(known.home.path)
    free = shutil.disk_usage(folder).free
    if not os.access(folder, os.W_OK):
        yield problem("disk", f"{folder} is not writable.", "Choose another folder: --home DIR.")
        return
    if free < _MIN_FREE_BYTES:
        yield problem(
            "disk", f"Only {gib(free)} are free at {folder}.", "Free some space, or choose another: --home DIR."
        )
        return
    with tempfile.TemporaryDirectory(prefix=".paris-doctor-", dir=folder) as scratch:
        (Path(scratch) / "lock").touch()
        held = try_lock(Path(scratch) / "lock")
        if held is not None:
            held.close()
        bytes_per_s, sync_s = _speeds(Path(scratch) / "data")
    text = f"{gib(free)} free at {folder}, writes {gib(int(bytes_per_s))}/s, syncs in {1000 * sync_s:.0f} ms, locks"
    if sync_s > _SLOW_SYNC_S:
        yield warning("disk", f"{text}: each snapshot waits for it.", "Choose a folder on a local disk: --home DIR.")
        return
    yield fine("disk", text)


def existing_part(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


def _speeds(path: Path) -> tuple[float, float]:
    """Bytes per second of a large file that is synced, and seconds of a small one."""
    block = os.urandom(1 << 20)  # not zeros, which some file systems do not write
    with path.open("wb", buffering=0) as file:
        whole_s = _synced_s(file, [block] * (_WRITTEN_BYTES // len(block)))
        sync_s = statistics.median(_synced_s(file, [block[:4096]]) for _ in range(_NUM_SYNCS))
    return _WRITTEN_BYTES / max(whole_s, 1e-6), sync_s


def _synced_s(file: FileIO, blocks: list[bytes]) -> float:
    began = time.monotonic()
    for block in blocks:
        file.write(block)
    os.fsync(file.fileno())
    return time.monotonic() - began
