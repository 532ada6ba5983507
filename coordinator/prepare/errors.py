"""Errors of data preparation: each names the input or the setting, its value, and what to do next."""

from __future__ import annotations

from paris.protocol.errors import ParisError


class PrepareError(ParisError):
    """Root of what can go wrong between the source and the finished data folder."""

    exit_code = 70


class PrepareConfigError(PrepareError, ValueError):
    """A setting is unknown, out of its bounds, or does not fit the data."""

    exit_code = 71


class SourceMissingError(PrepareError):
    """The source, or the package that carries it, is not there."""

    exit_code = 72


class EmptySourceError(PrepareError):
    """The source holds no picture, or none was left after filtering."""

    exit_code = 73


class SourceFormatError(PrepareError, ValueError):
    """Captions or names of the source cannot be read."""

    exit_code = 74


class TooFewRowsError(PrepareError, ValueError):
    """There are not enough pictures for the clusters or the held-out rows that were asked for."""

    exit_code = 75


class OutputTakenError(PrepareError, FileExistsError):
    """The output folder holds another prepared data set, or another process prepares there; it is left as it is."""

    exit_code = 76


class NotPreparedError(PrepareError, LookupError):
    """The folder holds no finished data set: `prepared.json` is missing or does not match the files."""

    exit_code = 77


class EngineError(PrepareError):
    """Daft, or the Ray cluster it was told to use, could not do its part."""

    exit_code = 78


class SourceUnreachableError(PrepareError, ConnectionError):
    """The Hub that holds the source refuses or does not answer; what is finished stays."""

    exit_code = 79


class CaptionerError(PrepareError):
    """The captioning model is not there, or is of a kind that does not look at pictures."""

    exit_code = 80
