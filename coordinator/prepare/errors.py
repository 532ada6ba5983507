"""Errors of data preparation: each names the input or the setting, its value, and the next step."""

from __future__ import annotations

from paris.protocol.errors import ParisError


class PrepareError(ParisError):
    """Base class of the errors of data preparation."""

    exit_code = 70
    error_code = "prepare"


class PrepareConfigError(PrepareError, ValueError):
    """A setting is unknown, out of bounds, or does not fit the data."""

    exit_code = 71
    error_code = "prepare-settings"


class SourceMissingError(PrepareError):
    """The source, or the package that contains it, is missing."""

    exit_code = 72
    error_code = "source-missing"


class EmptySourceError(PrepareError):
    """The source has no picture, or none passed the filters."""

    exit_code = 73
    error_code = "source-empty"


class SourceFormatError(PrepareError, ValueError):
    """A file of the source cannot be read."""

    exit_code = 74
    error_code = "source-format"


class TooFewRowsError(PrepareError, ValueError):
    """There are too few pictures for the configured clusters or held-out rows."""

    exit_code = 75
    error_code = "too-few-rows"


class OutputTakenError(PrepareError, FileExistsError):
    """The output folder has another data set, or another process prepares there; it is left unchanged."""

    exit_code = 76
    error_code = "output-taken"


class NotPreparedError(PrepareError, LookupError):
    """The folder has no finished data set: `prepared.json` is missing or does not match the files."""

    exit_code = 77
    error_code = "not-prepared"


class EngineError(PrepareError):
    """Daft or the Ray cluster failed."""

    exit_code = 78
    error_code = "engine"


class SourceUnreachableError(PrepareError, ConnectionError):
    """The Hub of the source refuses or does not answer; finished parts stay."""

    exit_code = 79
    error_code = "source-unreachable"


class CaptionerError(PrepareError):
    """The captioning model is missing, or is no BLIP or BLIP-2."""

    exit_code = 80
    error_code = "captioner"


class PretrainedError(PrepareError):
    """A frozen network of [pretrained] cannot be fetched, or lacks weights."""

    exit_code = 82
    error_code = "pretrained"
