"""Errors of the node, and the conversion of any error into message, next step, exit code and error code."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from paris.experts.installed import missing_module
from paris.protocol.errors import NO_ANSWER, SYSTEM, UNEXPECTED, ParisError, reason_of
from paris.protocol.secrets import redact

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ResolveError(ParisError):
    """RUN names no run: no such file or address, or its content is not a RunSpec."""

    exit_code = 40
    error_code = "run-not-found"


class RunUnansweredError(ResolveError):
    """The address that RUN names did not answer; a later try may work."""

    error_code = "run-unanswered"


class HubUnreachableError(ParisError):
    """The Hub did not answer, or answered with server errors, for too many tries."""

    exit_code = 41
    error_code = "hub-unreachable"


class TransientHubError(ParisError):
    """The Hub did not answer, or answered with an error that may pass; the same request may work later.

    Args:
        what: One sentence.
        retry_after_s: The server's Retry-After, or None.
    """

    exit_code = 41
    error_code = "hub-transient"

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
    error_code = "hub-refused"

    def __init__(self, what: str, next_step: str = "", status: int = 0) -> None:
        super().__init__(what, next_step)
        self.status = status


class WrongHashError(ParisError):
    """A file arrived twice with a wrong hash."""

    exit_code = 43
    error_code = "wrong-hash"


class DiskFullError(ParisError):
    """The disk, the quota or the volunteer's limit is full. Existing files stay."""

    exit_code = 44
    error_code = "disk-full"


class TaskTooBigError(ParisError):
    """The leased task needs more memory or disk than this machine has."""

    exit_code = 45
    error_code = "task-too-big"


class TrainerError(ParisError):
    """The trainer died repeatedly without progress, or reported a permanent error."""

    exit_code = 46
    error_code = "trainer"


class SettingsError(ParisError):
    """A setting is unknown or invalid."""

    exit_code = 47
    error_code = "node-settings"


class NoTaskError(ParisError):
    """No task was leased within `--task-wait-s`."""

    exit_code = 48
    error_code = "no-task"


class NothingToHandInError(ParisError):
    """`hand-in` found no task, or no snapshot beyond the start of its leg."""

    exit_code = 48
    error_code = "nothing-to-hand-in"


class StoppedError(ParisError):
    """The volunteer stopped the node; everything on disk is resumable."""

    exit_code = 130
    error_code = "stopped"


class LeaseLostError(ParisError):
    """The coordinator took the lease back. The files stay until the next lease; the node waits for other work."""

    exit_code = 49
    error_code = "lease-lost"


class NotRunningError(ParisError):
    """A command for the running node found none in this home."""

    exit_code = 50
    error_code = "not-running"


class ControlError(ParisError):
    """The running node did not answer a command, or refused it."""

    exit_code = 51
    error_code = "control"


class PageError(ParisError):
    """The node's page cannot be served where the settings say."""

    exit_code = 52
    error_code = "own-page"


class DevicesError(ParisError):
    """Of the nodes of several devices some ended with an error; the others did their work."""

    exit_code = 53
    error_code = "devices"


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


class Explanation(NamedTuple):
    """An error as it is told to a person."""

    what: str
    next_step: str
    exit_code: int
    error_code: str


def explain(error: BaseException) -> Explanation:
    """What is told of any error, without secrets."""
    told = _explain(error)
    return told._replace(what=redact(told.what), next_step=redact(told.next_step))


def explains_itself(error: BaseException) -> bool:
    """Whether an error's sentence says all: it is one of ours, and not raised because of another one."""
    return isinstance(getattr(error, "what", None), str) and error.__cause__ is None


def _explain(error: BaseException) -> Explanation:
    """Errors of `paris.experts` are not ParisErrors, but have the same four attributes."""
    if isinstance(error, ImportError):
        error = missing_module(error) or error
    what = getattr(error, "what", None)
    if isinstance(what, str):
        kind = DiskFullError if is_disk_full(error) else error
        exit_code, error_code = getattr(kind, "exit_code", 1), getattr(kind, "error_code", UNEXPECTED)
        return Explanation(what, str(getattr(error, "next_step", "")), exit_code, error_code)
    if isinstance(error, KeyboardInterrupt):
        return _of(StoppedError("Stopped.", "Run the same command again to continue."))
    if is_disk_full(error):
        return _of(disk_full("writing", getattr(error, "filename", None) or "the home folder"))
    if isinstance(error, MemoryError):
        return _of(
            TaskTooBigError("This machine ran out of memory.", "Close other programs, or join with a task that fits.")
        )
    if isinstance(error, TimeoutError):
        what = f"There was no answer in time ({error})." if str(error) else "There was no answer in time."
        return Explanation(what, "The network or this machine is busy: run the same command again.", 1, NO_ANSWER)
    if isinstance(error, OSError):
        return Explanation(f"The system refused: {reason_of(error)}.", "Check the path and its permissions.", 1, SYSTEM)
    return Explanation(
        f"Unexpected {type(error).__name__}: {reason_of(error)}.",
        "Run again with PARIS_DEBUG=1 and report what it prints.",
        1,
        UNEXPECTED,
    )


def _of(error: ParisError) -> Explanation:
    return Explanation(error.what, error.next_step, error.exit_code, error.error_code)
