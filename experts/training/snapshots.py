"""Snapshots: training state on disk, to resume from.

    snapshots/
      step-00000500/              scheduled: a link of the chain of commitments
        weights.safetensors       the weights that are trained
        ema.safetensors           their moving average
        optimizer.safetensors     exp_avg.<name> and exp_avg_sq.<name> of AdamW
        state.json                {"task": ..., "step": 500, "loss": 0.41, "files": {name: sha256}, "previous": ...,
                                   "commitment": ..., "commitment_step": 500, "format": 1}
      pause-00000620/             the same, saved because training was told to stop; no link of the chain

Format 1 is exact; format 2 (`compact_state.py`), of scheduled snapshots alone, holds other tensors in the same files.

A folder gets its name when everything in it is on the disk. The two newest scheduled ones are kept, of a leg all, and
the newest pause while nothing newer is there. Random numbers need no saving: they are functions of the step.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import Tensor

from paris.experts.errors import CheckpointError, SnapshotError
from paris.experts.files import disk_full_while_writing, file_sha256, sync, write_whole
from paris.experts.training.commitments import (
    COMPACT_FORMAT,
    EXACT_FORMAT,
    FILES,
    NO_COMMITMENT,
    STATE_FILE,
    SnapshotState,
    commitment_of,
    read_state,
    scheduled_folder,
    scheduled_folders,
    step_of,
)
from paris.experts.training.compact_state import compact_specs
from paris.experts.training.leg import Head
from paris.experts.weights.checkpoint import TensorSpec, iter_tensors, save_tensors

_KEPT = 2


@dataclass(frozen=True)
class Snapshot:
    """A snapshot on disk whose files were checked."""

    state: SnapshotState
    path: Path
    specs: Mapping[str, Mapping[str, TensorSpec]]

    def tensors(self, file: str) -> Iterator[tuple[str, Tensor]]:
        """Name and value of each tensor of one of `FILES`, one at a time: exact files are four times the model."""
        return iter_tensors(self.path / f"{file}.safetensors", self.specs[file])


@dataclass
class SnapshotStore:
    """The snapshots of one task in one folder."""

    folder: Path
    task: str
    """Digest of the task; snapshots of another task are refused."""
    specs: Mapping[str, Mapping[str, TensorSpec]]
    """File name to the tensors of the exact form."""
    leg_start: int | None = None
    """Step where a leg starts: none before it is resumed from, and all since are kept, since a challenge may ask for
    any of them. None: no leg."""
    compact_before: int = 0
    """Scheduled snapshots before this step are compact."""
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

        The tensors are those of its form, by file.

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
                _write_state(partial, state)
                target = scheduled_folder(self.folder, step) if scheduled else self.folder / f"pause-{step:08d}"
                if target.exists():
                    shutil.rmtree(target)
                partial.replace(target)
                sync(self.folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        self._prune()
        return state

    def adopt(self, head: Head, files: Path) -> None:
        """Take over the state that another training reached; nothing is done where this one has snapshots since.

        Args:
            head: The state.
            files: A folder with its three files, which becomes that of the snapshot; `latest` checks them.

        Raises:
            SnapshotError: The state is not one of this task; nothing is changed.
        """
        state = head.state_of(self.task, self._format_at(head.step))
        if any(step_of(path) >= head.step for path in self._folders()):
            return
        _write_state(files, state)
        self.folder.mkdir(parents=True, exist_ok=True)
        files.replace(scheduled_folder(self.folder, head.step))
        sync(self.folder)

    def latest(self) -> Snapshot | None:
        """The newest snapshot that is whole; damaged newer ones are removed, each with a note.

        Raises:
            SnapshotError: The newest belongs to another task, or to a newer version; nothing is changed. Or the state
                where the leg starts is damaged, and was removed.
        """
        self._sweep()
        for path in reversed(self._folders()):
            try:
                return self._read(path)
            except (CheckpointError, FileNotFoundError) as error:
                self.notes.append(f"Snapshot {path.name} is damaged and was removed, the one before is used: {error}")
                shutil.rmtree(path)
        if self.leg_start:
            why = " ".join(self.notes) or "its files are missing."
            raise SnapshotError(f"Training cannot go on from step {self.leg_start}, where the leg starts: {why}")
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
            format=self._format_at(step) if scheduled else EXACT_FORMAT,
            task=self.task,
            step=step,
            loss=loss,
            files=files,
            previous=previous,
            commitment=commitment,
            commitment_step=at,
        )

    def _format_at(self, step: int) -> Literal[1, 2]:
        return COMPACT_FORMAT if step < self.compact_before else EXACT_FORMAT

    def _read(self, path: Path) -> Snapshot:
        state = read_state(path)
        if state.task != self.task:
            raise SnapshotError(
                f"Snapshot {path} is of another task or of other settings.", "Use another folder, or remove this one."
            )
        is_compact = state.format == COMPACT_FORMAT
        snapshot = Snapshot(state, path, compact_specs(self.specs) if is_compact else self.specs)
        for name in FILES:
            file = path / f"{name}.safetensors"
            if file_sha256(file) != state.files.get(name):
                raise CheckpointError(f"{file.name} does not have the digest that state.json says.")
            for _ in snapshot.tensors(name):
                pass
        return snapshot

    def _folders(self) -> list[Path]:
        """Snapshot folders, oldest first; a scheduled one before a pause at the same step."""
        found = [*scheduled_folders(self.folder), *self.folder.glob(f"pause-{'[0-9]' * 8}")]
        return sorted(found, key=lambda path: (step_of(path), path.name.startswith("pause")))

    def _prune(self) -> None:
        kept = scheduled_folders(self.folder)
        if self.leg_start is None:
            kept = kept[-_KEPT:]
        for path in self._folders()[:-1]:
            if path not in kept:
                shutil.rmtree(path)

    def _sweep(self) -> None:
        """Remove what an interrupted save left behind."""
        for path in self.folder.glob(".part-*"):
            shutil.rmtree(path)


def _write_state(folder: Path, state: SnapshotState) -> None:
    write_whole(folder / STATE_FILE, json.dumps(state.to_settings(), indent=1).encode())
