"""The errors of the organiser's commands, each with an exit code of its own."""

from __future__ import annotations

from paris.protocol.errors import ParisError


class ConfigError(ParisError, ValueError):
    """The run's configuration is missing, malformed, or has an unknown field."""

    exit_code = 60
    error_code = "run-config"


class RunDirError(ParisError):
    """The run directory is not in the state that this command needs."""

    exit_code = 61
    error_code = "run-directory"


class HubError(ParisError, ConnectionError):
    """The Hub refused, or did not answer."""

    exit_code = 62
    error_code = "hub"


class NotOnHubError(HubError):
    """The Hub answers, and does not have a file or commit, or has it with other bytes."""

    error_code = "not-on-hub"


class WorkerError(ParisError, RuntimeError):
    """A child process ended without a result."""

    exit_code = 63
    error_code = "worker"


class VerificationCrashError(WorkerError):
    """A child process broke down over a submission, by no known trouble of this machine or the Hub."""

    error_code = "verification-crash"


class NotTrainableAgainError(WorkerError):
    """Files are gone without which verified work can never be trained again."""

    error_code = "not-trainable-again"


class NotReadyError(ParisError):
    """A step that this one needs has not been done."""

    exit_code = 64
    error_code = "not-ready"


class PlanError(ParisError):
    """The run's plan shows that a setting cannot work."""

    exit_code = 67
    error_code = "plan"


class DatabaseError(ParisError):
    """A database is damaged, does not answer, or could not be migrated."""

    exit_code = 66
    error_code = "database"


class DeposedError(ParisError):
    """Another coordinator of the run has taken the lead."""

    exit_code = 69
    error_code = "deposed"


class SignerError(ParisError):
    """The process that has the run's key does not answer, or refuses."""

    exit_code = 83
    error_code = "signer"


class NoticeError(ParisError, ConnectionError):
    """A webhook of the organiser did not take a notice."""

    exit_code = 68
    error_code = "notice"
