"""Errors of the protocol package: each names what was wrong, with which value, and what to do next."""

from __future__ import annotations


class ParisError(Exception):
    """Root of the errors that a person can act on.

    Args:
        what: One sentence: what is wrong and with which value.
        next_step: One sentence: what to do now; may be empty where nothing can be done.
    """

    exit_code = 1

    def __init__(self, what: str, next_step: str = "") -> None:
        self.what = what
        self.next_step = next_step
        super().__init__(f"{what} {next_step}".strip())


class RecordError(ParisError, ValueError):
    """A record is malformed, too large, or of an unknown kind."""

    exit_code = 3


class SignatureError(ParisError, ValueError):
    """A signature does not hold, or the signer is not the one this run allows."""

    exit_code = 4


class VersionError(ParisError):
    """The two sides speak different versions; the message says which side must update."""

    exit_code = 5


class ExpiredError(ParisError):
    """A record is past its expiry, or claims a longer life than its kind allows."""

    exit_code = 6


class UnknownRunError(ParisError, LookupError):
    """Nothing known answers to this run."""

    exit_code = 7


class NoPeersError(ParisError, ConnectionError):
    """None of the initial peers answered."""

    exit_code = 8


class PortTakenError(ParisError, OSError):
    """The port asked for is in use."""

    exit_code = 9


class IdentityError(ParisError):
    """An identity file is missing, unreadable, or in use by another process."""

    exit_code = 10


class ClockError(ParisError):
    """The clock of this machine and the swarm's are too far apart."""

    exit_code = 11


class UnreachableError(ParisError, ConnectionError):
    """Other peers cannot open a connection to this one, which wants to hold records for them."""

    exit_code = 12


class AddressError(ParisError, ValueError):
    """A multiaddr cannot be used."""

    exit_code = 13


class DaemonError(ParisError):
    """The libp2p daemon (p2pd) did not start."""

    exit_code = 14


class PeerError(ParisError, ConnectionError):
    """A peer that was asked for a shard does not answer, answers nonsense, or stopped in the middle."""

    exit_code = 15
