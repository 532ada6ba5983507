"""Typed errors of the protocol package, each with an exit code and an error code."""

from __future__ import annotations

NO_ANSWER, SYSTEM, UNEXPECTED = "no-answer", "system", "unexpected"
"""Error codes of errors that are none of ours: time is over, the system refused, anything else."""


class ParisError(Exception):
    """Base of all errors that are shown to a user.

    Args:
        what: One sentence: the problem and the value.
        next_step: One sentence: what to do; empty if nothing can be done.

    Each class has an `error_code`: a word in the message that stays when the class is renamed, and the name of its page
    in docs/errors.
    """

    exit_code = 1
    error_code = UNEXPECTED

    def __init__(self, what: str, next_step: str = "") -> None:
        self.what = what
        self.next_step = next_step
        super().__init__(f"{what} {next_step}".strip())


def heading(error_code: str) -> str:
    """How the message of an error begins; the code is the name of its page in docs/errors."""
    return f"Error [{error_code}]:"


def reason_of(error: BaseException) -> str:
    """The text of an error from elsewhere, to complete a sentence; a TimeoutError often has none."""
    text = str(error).strip()
    if text:
        return text
    return "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__


class RecordError(ParisError, ValueError):
    """A record is malformed, too large, or of an unknown kind."""

    exit_code = 3
    error_code = "record"


class SignatureError(ParisError, ValueError):
    """A signature is invalid, or the signer is not allowed in this run."""

    exit_code = 4
    error_code = "signature"


class VersionError(ParisError):
    """The protocol versions differ; the message says which side must update."""

    exit_code = 5
    error_code = "version"


class ExpiredError(ParisError):
    """A record has expired, or has a longer life than its kind allows."""

    exit_code = 6
    error_code = "record-expired"


class UnknownRunError(ParisError, LookupError):
    """No known peer or file describes this run."""

    exit_code = 7
    error_code = "unknown-run"


class NoPeersError(ParisError, ConnectionError):
    """None of the initial peers answered."""

    exit_code = 8
    error_code = "no-peers"


class PortTakenError(ParisError, OSError):
    """The port is in use."""

    exit_code = 9
    error_code = "port-taken"


class IdentityError(ParisError):
    """An identity file is missing, unreadable, or in use by another process."""

    exit_code = 10
    error_code = "identity"


class ClockError(ParisError):
    """The clock of this machine differs too much from the swarm's."""

    exit_code = 11
    error_code = "clock"


class UnreachableError(ParisError, ConnectionError):
    """Other peers cannot connect to this one, although it is not a client."""

    exit_code = 12
    error_code = "unreachable"


class AddressError(ParisError, ValueError):
    """A multiaddr is invalid or unusable."""

    exit_code = 13
    error_code = "address"


class DaemonError(ParisError):
    """The libp2p daemon (p2pd) did not start."""

    exit_code = 14
    error_code = "daemon"


class SlowStartError(DaemonError):
    """The DHT peer did not start in time, on a machine that is busy; a later try may work."""

    error_code = "slow-start"


class PeerError(ParisError, ConnectionError):
    """A peer did not answer a shard request, answered nonsense, or stopped in the middle."""

    exit_code = 15
    error_code = "peer"


class ProxySettingError(ParisError):
    """A proxy variable of the environment has an unusable address."""

    exit_code = 16
    error_code = "proxy-setting"


class NoLocksError(ParisError):
    """The file system has no file locks."""

    exit_code = 17
    error_code = "no-locks"


class NewerFileError(ParisError):
    """A file was written by a newer version of this software; it is not changed."""

    exit_code = 18
    error_code = "newer-file"
