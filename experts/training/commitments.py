"""The chain of commitments: what a snapshot's state.json says. Without torch, for those who only check a chain."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from paris.experts.errors import CheckpointError, SnapshotError
from paris.experts.installed import UPGRADE
from paris.experts.settings import Settings

FILES = ("weights", "ema", "optimizer")
STATE_FILE = "state.json"
NO_COMMITMENT = "0" * 64
"""The `previous` of the first link."""
_MAX_STATE_BYTES = 1 << 16
EXACT_FORMAT: Literal[1] = 1
COMPACT_FORMAT: Literal[2] = 2

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class SnapshotState(Settings):
    """state.json."""

    format: Literal[1, 2] = EXACT_FORMAT
    """1 where the file names none. Another set of files, tensors or fields is another format."""
    task: Sha256
    """Digest of the task: `TrainingTask.digest`."""
    step: Annotated[int, Field(ge=0)]
    """Optimizer steps done."""
    loss: float | None
    """Smoothed training loss; carried on across stops."""
    files: dict[str, Sha256]
    previous: Sha256
    """The commitment before this one."""
    commitment: Sha256
    """Of this snapshot if it is scheduled, else of the scheduled one before."""
    commitment_step: Annotated[int, Field(ge=0)]


def commitment_of(previous: str, task: str, step: int, files: Mapping[str, str]) -> str:
    """The digest, 64 hex digits, of a snapshot, its task, its step and all snapshots before it.

    Args:
        previous: The commitment before, `NO_COMMITMENT` for the first.
        task: Digest of the task.
        step: Optimizer steps done.
        files: File name to SHA-256.
    """
    lines = [previous, task, str(step), *(f"{name} {files[name]}" for name in FILES)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def scheduled_folder(snapshots: Path, step: int) -> Path:
    """The folder of a scheduled snapshot."""
    return snapshots / f"step-{step:08d}"


def scheduled_folders(snapshots: Path) -> list[Path]:
    """The folders of all scheduled snapshots, oldest first."""
    return sorted(snapshots.glob(f"step-{'[0-9]' * 8}"))


def step_of(folder: Path) -> int:
    """The step in the name of a snapshot's folder."""
    return int(folder.name.rpartition("-")[2])


def read_state(folder: Path) -> SnapshotState:
    """A snapshot's state.json; the files beside it are not read.

    Raises:
        FileNotFoundError: There is none.
        CheckpointError: It is damaged, or fits neither its folder nor its own commitment.
        SnapshotError: A newer version wrote it.
    """
    with (folder / STATE_FILE).open("rb") as file:
        data = file.read(_MAX_STATE_BYTES)
    try:
        state = SnapshotState.model_validate_json(data)
    except ValidationError as error:
        if _format_of(data) > COMPACT_FORMAT:
            raise SnapshotError(
                f"Snapshot {folder} was written by a newer version of this software.",
                f"{UPGRADE} The snapshot is unchanged.",
            ) from error
        raise CheckpointError(f"{STATE_FILE} is not a snapshot's state.") from error
    files = {name: state.files.get(name, "") for name in FILES}
    chained = commitment_of(state.previous, state.task, state.step, files)
    if state.step != step_of(folder) or (folder.name.startswith("step-") and chained != state.commitment):
        raise CheckpointError(f"{STATE_FILE} does not fit its folder or its own commitment.")
    return state


def _format_of(data: bytes) -> int:
    """The format that a state.json names; 0 if it names none."""
    try:
        found = json.loads(data)["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0
    return found if isinstance(found, int) else 0
