"""Errors of a proposal: nothing is written when one is raised."""

from __future__ import annotations

from paris.coordinator.errors import ConfigError
from paris.coordinator.prepare.errors import PrepareError


class UndecidedError(ConfigError):
    """Something that only the organiser knows is not told; the message names the options."""

    error_code = "undecided"


class SourceChangedError(PrepareError):
    """The files of the source are not those that `init` looked at."""

    exit_code = 81
    error_code = "source-changed"
