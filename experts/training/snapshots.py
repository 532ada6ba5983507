"""Snapshots: training state on disk, to resume from.

    snapshots/
      step-00000500/              scheduled: a link of the chain of commitments
        weights.safetensors       the weights that are trained
        ema.safetensors           their moving average
        optimizer.safetensors     exp_avg.<name> and exp_avg_sq.<name> of AdamW
        state.json                {"task": ..., "step": 500, "loss": 0.41, "files": {name: sha256}, "previous": ...,
                                   "commitment": ..., "commitment_step": 500}
      pause-00000620/             the same, saved because training was told to stop; no link of the chain

A folder gets its name when everything in it is on the disk. The two newest scheduled ones are kept, and the newest
pause while nothing newer is there. Random numbers need no saving: they are functions of the step.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError
from torch import Tensor

from paris.experts.errors import CheckpointError, SnapshotError
from paris.experts.files import disk_full_while_writing, file_sha256, sync, write_whole
from paris.experts.installed import UPGRADE
from paris.experts.settings import Settings
from paris.experts.weights.checkpoint import TensorSpec, iter_tensors, save_tensors

FILES = ("weights", "ema", "optimizer")
NO_COMMITMENT = "0" * 64
"""The `previous` of the first link."""
_KEPT = 2
_MAX_STATE_BYTES = 1 << 16
_FORMAT: Literal[1] = 1

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class SnapshotState(Settings):
    """state.json."""

    format: Literal[1] = _FORMAT
    """1 where the file names none. Another set of files or fields is another format."""
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


@dataclass(frozen=True)
class Snapshot:
    """A snapshot on disk whose files were checked."""

    state: SnapshotState
    path: Path
    specs: Mapping[str, Mapping[str, TensorSpec]]

    def tensors(self, file: str) -> Iterator[tuple[str, Tensor]]:
        """Name and value of each tensor of one of `FILES`, one at a time: all files are four times the model."""
        return iter_tensors(self.path / f"{file}.safetensors", self.specs[file])


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


@dataclass
class SnapshotStore:
    """The snapshots of one task in one folder."""

    folder: Path
    task: str
    """Digest of the task; snapshots of another task are refused."""
    specs: Mapping[str, Mapping[str, TensorSpec]]
    """File name to the tensors that it must hold."""
    notes: list[str] = field(default_factory=list)
    """One sentence for each damaged snapshot."""

    def save(
        self,
        step: int,
        loss: float | None,
        tensors: Mapping[str, Mapping[str, Tensor]],
        last: SnapshotState | None,
        *,
        scheduled: bool,
    ) -> SnapshotState:
        """Write a snapshot after the `last` one, and remove those that are no longer needed.

        Raises:
            DiskFullError: No space; earlier snapshots are unchanged.
        """
        self._sweep()
        partial = self.folder / f".part-{step:08d}"
        try:
            with disk_full_while_writing(partial):
                partial.mkdir(parents=True)
                files = {name: save_tensors(partial / f"{name}.safetensors", tensors[name]) for name in FILES}
                state = self._state(step, loss, files, last, scheduled)
                write_whole(partial / "state.json", json.dumps(state.to_settings(), indent=1).encode())
                target = self.folder / f"{'step' if scheduled else 'pause'}-{step:08d}"
                if target.exists():
                    shutil.rmtree(target)
                partial.replace(target)
                sync(self.folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        self._prune()
        return state

    def latest(self) -> Snapshot | None:
        """The newest snapshot that is whole; damaged newer ones are removed, each with a note.

        Raises:
            SnapshotError: The newest belongs to another task, or to a newer version; nothing is changed.
        """
        self._sweep()
        for path in reversed(self._folders()):
            try:
                return self._read(path)
            except (CheckpointError, FileNotFoundError) as error:
                self.notes.append(f"Snapshot {path.name} is damaged and was removed, the one before is used: {error}")
                shutil.rmtree(path)
        return None

    def _state(
        self, step: int, loss: float | None, files: dict[str, str], last: SnapshotState | None, scheduled: bool
    ) -> SnapshotState:
        before = last.commitment if last else NO_COMMITMENT
        if scheduled:
            previous, commitment, at = before, commitment_of(before, self.task, step, files), step
        else:
            previous, commitment = last.previous if last else NO_COMMITMENT, before
            at = last.commitment_step if last else 0
        return SnapshotState(
            task=self.task,
            step=step,
            loss=loss,
            files=files,
            previous=previous,
            commitment=commitment,
            commitment_step=at,
        )

    def _read(self, path: Path) -> Snapshot:
        state = self._read_state(path)
        if state.task != self.task:
            raise SnapshotError(
                f"Snapshot {path} is of another task or of other settings.", "Use another folder, or remove this one."
            )
        snapshot = Snapshot(state, path, self.specs)
        for name in FILES:
            file = path / f"{name}.safetensors"
            if file_sha256(file) != state.files.get(name):
                raise CheckpointError(f"{file.name} does not have the digest that state.json says.")
            for _ in snapshot.tensors(name):
                pass
        return snapshot

    @staticmethod
    def _read_state(path: Path) -> SnapshotState:
        with (path / "state.json").open("rb") as file:
            data = file.read(_MAX_STATE_BYTES)
        try:
            state = SnapshotState.model_validate_json(data)
        except ValidationError as error:
            if _format_of(data) > _FORMAT:
                raise SnapshotError(
                    f"Snapshot {path} was written by a newer version of this software.",
                    f"{UPGRADE} The snapshot is unchanged.",
                ) from error
            raise CheckpointError("state.json is not a snapshot's state.") from error
        files = {name: state.files.get(name, "") for name in FILES}
        chained = commitment_of(state.previous, state.task, state.step, files)
        if state.step != _step_of(path) or (path.name.startswith("step-") and chained != state.commitment):
            raise CheckpointError("state.json does not fit its folder or its own commitment.")
        return state

    def _folders(self) -> list[Path]:
        """Snapshot folders, oldest first; a scheduled one before a pause at the same step."""
        found = [path for kind in ("step", "pause") for path in self.folder.glob(f"{kind}-{'[0-9]' * 8}")]
        return sorted(found, key=lambda path: (_step_of(path), path.name.startswith("pause")))

    def _prune(self) -> None:
        folders = self._folders()
        scheduled = [path for path in folders if path.name.startswith("step-")]
        for path in folders[:-1]:
            if path not in scheduled[-_KEPT:]:
                shutil.rmtree(path)

    def _sweep(self) -> None:
        """Remove what an interrupted save left behind."""
        for path in self.folder.glob(".part-*"):
            shutil.rmtree(path)


def _format_of(data: bytes) -> int:
    """The format that a state.json names; 0 if it names none."""
    try:
        found = json.loads(data)["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0
    return found if isinstance(found, int) else 0


def _step_of(path: Path) -> int:
    return int(path.name.rpartition("-")[2])
