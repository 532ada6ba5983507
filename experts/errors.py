"""Errors of the experts package, each with the wrong value and the next step."""

from __future__ import annotations


class ExpertError(Exception):
    """Base of all errors that a person can act on.

    Args:
        what: One sentence: what is wrong, with which value.
        next_step: One sentence, or empty if there is nothing to do.
    """

    exit_code = 20

    def __init__(self, what: str, next_step: str = "") -> None:
        self.what = what
        self.next_step = next_step
        super().__init__(f"{what} {next_step}".strip())


class SettingsError(ExpertError, ValueError):
    """A setting is unknown, missing or out of range, or a preset's name is unknown."""

    exit_code = 21


class CheckpointError(ExpertError, ValueError):
    """Weights are missing, unreadable, of another model, or not finite."""

    exit_code = 22


class LayoutError(ExpertError, ValueError):
    """A model folder lacks a file, or its files do not fit together."""

    exit_code = 23


class TextError(ExpertError, ValueError):
    """A text encoder cannot be loaded, or has another digest than the run names."""

    exit_code = 24


class CodecError(ExpertError, ValueError):
    """A codec cannot be loaded, or pictures have another shape than it takes."""

    exit_code = 25


class SamplingError(ExpertError, ValueError):
    """A sampling request is invalid: unknown routing, wrong shape, wrong number of seeds."""

    exit_code = 26


class ShardError(ExpertError, ValueError):
    """A shard is unreadable or of another shape than the run's."""

    exit_code = 27


class SnapshotError(ExpertError, OSError):
    """No usable snapshot, or one could not be written."""

    exit_code = 28


class TrainingError(ExpertError, RuntimeError):
    """Training cannot continue: the loss is not finite, or the task does not fit its data."""

    exit_code = 29


class DivergedError(TrainingError):
    """The loss, or a weight, is not finite."""


class MissingModuleError(ExpertError, ImportError):
    """A module is not installed; the next step names the extra of this package that has it."""

    exit_code = 32
