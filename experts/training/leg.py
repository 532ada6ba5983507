"""A leg: one stretch of an expert's training, from the state that the leg before it reached.

The task stays that of the whole expert, with its steps, order and learning rates: legs by several machines end with
the bits of an undisturbed training.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from paris.experts.errors import SettingsError, SnapshotError
from paris.experts.settings import Settings
from paris.experts.training.commitments import EXACT_FORMAT, FILES, Sha256, SnapshotState, commitment_of
from paris.experts.training.config import BaseTrainingConfig

HEAD_FOLDER = "head"
"""In the work folder: the files of the head, before training takes them over."""


class Head(Settings):
    """The state where a leg starts: a scheduled snapshot, without its files."""

    step: Annotated[int, Field(ge=1)]
    loss: float
    """Smoothed training loss."""
    previous: Sha256
    commitment: Sha256
    files: dict[str, Sha256]
    """Name, one of `FILES`, to SHA-256."""

    def state_of(self, task: str, form: Literal[1, 2] = EXACT_FORMAT) -> SnapshotState:
        """The head as a snapshot's state.

        Args:
            task: Digest of the task that goes on from it.
            form: `SnapshotState.format` of its files.

        Raises:
            SnapshotError: The commitment does not follow from this task and these files.
        """
        expected = set(FILES) == set(self.files) and commitment_of(self.previous, task, self.step, self.files)
        if expected != self.commitment:
            raise SnapshotError(
                f"The state at step {self.step} is not one of this task: its commitment is {self.commitment[:12]}..., "
                f"which does not follow from the task and the files.",
                "Tell the organiser.",
            )
        return SnapshotState(
            format=form,
            task=task,
            step=self.step,
            loss=self.loss,
            files=self.files,
            previous=self.previous,
            commitment=self.commitment,
            commitment_step=self.step,
        )


class Leg(Settings):
    """How far to train, and from where."""

    until_step: Annotated[int, Field(ge=1)]
    """The last step: of a scheduled snapshot."""
    head: Head | None = None
    """None: from the initial weights."""
    lane: Annotated[int, Field(ge=0)] = 0
    """Which of the trainings side by side: it decides rows, times and noise, and nothing else."""

    @property
    def start_step(self) -> int:
        """Steps that were done before this leg."""
        return self.head.step if self.head else 0

    def require_scheduled_end(self, training: BaseTrainingConfig) -> None:
        """Check that the leg ends at a scheduled snapshot: another one would change the chain of all later steps.

        Raises:
            SettingsError: It does not, or it has no step.
        """
        end, every = self.until_step, training.snapshot_every
        if not self.start_step < end <= training.steps or (end % every and end != training.steps):
            raise SettingsError(
                f"A leg from step {self.start_step} cannot end at step {end}: it ends at a multiple of "
                f"snapshot_every = {every}, or at the last step, {training.steps}."
            )
