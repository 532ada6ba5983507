"""Errors of the experts package, each with the wrong value and the next step."""

from __future__ import annotations


class ExpertError(Exception):
    """Base of all errors that a person can act on.

    Args:
        what: One sentence: what is wrong, with which value.
        next_step: One sentence, or empty if there is nothing to do.
    """

    exit_code = 20
    error_code = "unexpected"

    def __init__(self, what: str, next_step: str = "") -> None:
        self.what = what
        self.next_step = next_step
        super().__init__(f"{what} {next_step}".strip())


class SettingsError(ExpertError, ValueError):
    """A setting is unknown, missing or out of range, or a preset's name is unknown."""

    exit_code = 21
    error_code = "model-settings"


class CheckpointError(ExpertError, ValueError):
    """Weights are missing, unreadable, of another model, or not finite."""

    exit_code = 22
    error_code = "checkpoint"


class LayoutError(ExpertError, ValueError):
    """A model folder lacks a file, or its files do not fit together."""

    exit_code = 23
    error_code = "model-layout"


class TextError(ExpertError, ValueError):
    """A text encoder cannot be loaded, or has another digest than the run names."""

    exit_code = 24
    error_code = "text-encoder"


class CodecError(ExpertError, ValueError):
    """A codec cannot be loaded, or pictures have another shape than it takes."""

    exit_code = 25
    error_code = "codec"


class SamplingError(ExpertError, ValueError):
    """A sampling request is invalid: unknown routing, wrong shape, wrong number of seeds."""

    exit_code = 26
    error_code = "sampling"


class ShardError(ExpertError, ValueError):
    """A shard is unreadable or of another shape than the run's."""

    exit_code = 27
    error_code = "shard"


class SnapshotError(ExpertError, OSError):
    """No usable snapshot, or one could not be written."""

    exit_code = 28
    error_code = "snapshot"


class TrainingError(ExpertError, RuntimeError):
    """Training cannot continue: the loss is not finite, or the task does not fit its data."""

    exit_code = 29
    error_code = "training"


class DivergedError(TrainingError):
    """The loss, or a weight, is not finite."""

    error_code = "diverged"


class MissingModuleError(ExpertError, ImportError):
    """A module is not installed; the next step names the extra of this package that has it."""

    exit_code = 32
    error_code = "missing-module"
