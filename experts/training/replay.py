"""Replay: a stretch of a training is trained again, to compare its end with a claimed one (`state_distance.py`).

On equal hardware, threads and version of torch the end has the very bits of an honest one, and so its commitment. Else
rounding differs; docs/threat-model.md has how far it carries a stretch away, and how far cheats are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from paris.experts.models.initial_weights import starting_expert
from paris.experts.training.commitments import FILES, SnapshotState, read_state, scheduled_folder
from paris.experts.training.config import TrainingTask
from paris.experts.training.expert_training import ExpertTraining
from paris.experts.training.leg import Leg
from paris.experts.training.machine import MachineSettings
from paris.experts.training.sketch import Sums, sketch_state
from paris.experts.training.state_distance import Distance, distance
from paris.experts.weights.checkpoint import save_tensors


@dataclass(frozen=True)
class Replay:
    """One stretch to train again.

    Args:
        task: The whole training's: its digest, order and learning rates hold for every stretch.
        stretch: Its end, and the claimed state at its start.
        folder: Of its files; `head/` in it holds those of the state at the start. The same one resumes.
        frozen_folder: Folder of the files of text encoder, codec and initial weights.
    """

    task: TrainingTask
    stretch: Leg
    folder: Path
    frozen_folder: Path

    def run(self, shard_path: Callable[[int], Path], machine: MachineSettings | None = None) -> SnapshotState:
        """Train, by the code that trained it; called again after its end it trains no step.

        Args:
            shard_path: The file of shard i of the manifest.
            machine: Device, threads and the like; None: one thread of the CPU.

        Returns:
            The state at the end; its commitment is that of an honest training with the same rounding.

        Raises:
            SnapshotError: The state at the start is damaged, or is not one of this task.
            ExpertError: As `ExpertTraining.run`.
        """
        training = ExpertTraining(self.task, self.folder, shard_path, self.frozen_folder, machine, leg=self.stretch)
        training.run(lambda progress: None, lambda: False)
        return read_state(self._state(self.stretch.until_step))

    def distance(self, claimed: Path, files: Collection[str] = FILES) -> Distance:
        """How far a claimed end is from that of `run`.

        Args:
            claimed: Folder of its weights, ema and optimizer.safetensors.
            files: Those of them that are compared.

        Raises:
            CheckpointError, MissingModuleError: As `state_distance.distance`.
        """
        return distance(self._state(self.stretch.until_step), claimed, self.start(), files)

    def sketch(self, nonce: str) -> dict[str, Sums]:
        """The sketch of the end of `run`, by an audit's nonce (64 hex digits)."""
        return sketch_state(self._state(self.stretch.until_step), self.start(), nonce)

    def start(self) -> Path:
        """Folder of the state at the start, once `run` has ended; that of a whole training is written there."""
        if self.stretch.head is not None:
            return self._state(self.stretch.start_step)
        public = self.folder / "start"
        write_public_start(self.task, self.frozen_folder, public)
        return public

    def _state(self, step: int) -> Path:
        return scheduled_folder(self.folder / "snapshots", step)


def write_public_start(task: TrainingTask, frozen_folder: Path, folder: Path) -> None:
    """Write the weights that every expert of the run starts from, and their average, which is the same.

    Args:
        task: Of any expert.
        frozen_folder: Has the file of the initial weights, if the run has one.
        folder: Receives weights.safetensors and ema.safetensors.
    """
    weights = starting_expert(task.model, task.seed, task.initial_weights, frozen_folder).state_dict()
    for name in ("weights", "ema"):
        save_tensors(folder / f"{name}.safetensors", weights)
