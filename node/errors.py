"""Errors of the node, and the conversion of any error into message, next step and exit code."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from paris.experts.installed import missing_module
from paris.protocol.errors import ParisError, reason_of
from paris.protocol.secrets import redact

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ResolveError(ParisError):
    """RUN names no run: no such file or address, or its content is not a RunSpec."""

    exit_code = 40


class RunUnansweredError(ResolveError):
    """The address that RUN names did not answer; a later try may work."""


class HubUnreachableError(ParisError):
    """The Hub did not answer, or answered with server errors, for too many tries."""

    exit_code = 41


class TransientHubError(ParisError):
    """The Hub did not answer, or answered with an error that may pass; the same request may work later.

    Args:
        what: One sentence.
        retry_after_s: The server's Retry-After, or None.
    """

    exit_code = 41

    def __init__(self, what: str, retry_after_s: float | None = None) -> None:
        super().__init__(what, "Check the network; the node tries again by itself.")
        self.retry_after_s = retry_after_s


class HubRefusedError(ParisError):
    """The Hub rejected the request permanently (4xx): wrong token, no permission, no such repo.

    Args:
        what: One sentence.
        next_step: One sentence.
        status: HTTP status; 0 if the request was not sent.
    """

    exit_code = 42

    def __init__(self, what: str, next_step: str = "", status: int = 0) -> None:
        super().__init__(what, next_step)
        self.status = status


class WrongHashError(ParisError):
    """A file arrived twice with a wrong hash."""

    exit_code = 43


class DiskFullError(ParisError):
    """The disk, the quota or the volunteer's limit is full. Existing files stay."""

    exit_code = 44


class TaskTooBigError(ParisError):
    """The leased task needs more memory or disk than this machine has."""

    exit_code = 45


class TrainerError(ParisError):
    """The trainer died repeatedly without progress, or reported a permanent error."""

    exit_code = 46


class SettingsError(ParisError):
    """A setting is unknown or invalid."""

    exit_code = 47


class NoTaskError(ParisError):
    """No task was leased within `--task-wait-s`."""

    exit_code = 48


class NothingToHandInError(ParisError):
    """`hand-in` found no task, or no snapshot beyond the start of its leg."""

    exit_code = 48


class StoppedError(ParisError):
    """The volunteer stopped the node; everything on disk is resumable."""

    exit_code = 130


class LeaseLostError(ParisError):
    """The coordinator took the lease back. The files stay until the next lease; the node waits for other work."""

    exit_code = 49


class NotRunningError(ParisError):
    """A command for the running node found none in this home."""

    exit_code = 50


class ControlError(ParisError):
    """The running node did not answer a command, or refused it."""

    exit_code = 51


def is_disk_full(error: BaseException) -> bool:
    """Whether an error means that the disk, the quota or the file size limit is full."""
    return isinstance(error, OSError) and error.errno in _FULL


def disk_full(doing: str, where: object) -> DiskFullError:
    """The error for a disk that filled up.

    Args:
        doing: The action, such as "fetching shards/cluster-000/shard-00001.parquet".
        where: A folder on the full disk.
    """
    return DiskFullError(
        f"The disk is full while {doing} (in {where}).",
        "Free some space and run the same command again: it continues where it stopped.",
    )


@contextmanager
def disk_full_while(doing: str, where: object) -> Iterator[None]:
    """Raise DiskFullError in place of an OSError that means it."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(doing, where) from error
        raise


def explain(error: BaseException) -> tuple[str, str, int]:
    """Message, next step and exit code of any error, without secrets."""
    what, next_step, exit_code = _explain(error)
    return redact(what), redact(next_step), exit_code


def explains_itself(error: BaseException) -> bool:
    """Whether an error's sentence says all: it is one of ours, and not raised because of another one."""
    return isinstance(getattr(error, "what", None), str) and error.__cause__ is None


def _explain(error: BaseException) -> tuple[str, str, int]:
    """Errors of `paris.experts` are not ParisErrors, but have the same three attributes."""
    if isinstance(error, ImportError):
        error = missing_module(error) or error
    what = getattr(error, "what", None)
    if isinstance(what, str):
        code = DiskFullError.exit_code if is_disk_full(error) else int(getattr(error, "exit_code", 1))
        return what, str(getattr(error, "next_step", "")), code
    if isinstance(error, KeyboardInterrupt):
        return "Stopped.", "Run the same command again to continue.", StoppedError.exit_code
    if is_disk_full(error):
        full = disk_full("writing", getattr(error, "filename", None) or "the home folder")
        return full.what, full.next_step, full.exit_code
    if isinstance(error, MemoryError):
        return (
            "This machine ran out of memory.",
            "Close other programs, or join with a task that fits.",
            TaskTooBigError.exit_code,
        )
    if isinstance(error, TimeoutError):
        what = f"There was no answer in time ({error})." if str(error) else "There was no answer in time."
        return what, "The network or this machine is busy: run the same command again.", 1
    if isinstance(error, OSError):
        return f"The system refused: {reason_of(error)}.", "Check the path and its permissions.", 1
    return (
        f"Unexpected {type(error).__name__}: {reason_of(error)}.",
        "Run again with PARIS_DEBUG=1 and report what it prints.",
        1,
    )
