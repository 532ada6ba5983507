"""Which stretches of a handed-in leg are trained again: a draw that nobody can foresee and everybody can check.

The coordinator commits itself to a secret when it grants the lease (`Lease.draw_sha256`), the volunteer to its
snapshots when it hands in (`Submission.commitment`), and only both decide. The verdict reveals the secret
(`Verdict.draw_secret`) and names the rate (`Verdict.replay_rate`).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import NamedTuple

_WHOLE = 2**64


class Stretch(NamedTuple):
    """Training between two neighbouring snapshots of a leg."""

    start: int
    """Step of the snapshot at its start; 0: the public start."""
    end: int


def draw_digest(secret: str) -> str:
    """`Lease.draw_sha256` of a secret: SHA-256 of its 32 bytes.

    Args:
        secret: 64 hex digits.
    """
    return hashlib.sha256(bytes.fromhex(secret)).hexdigest()


def draw(secret: str, commitment: str, steps: Sequence[int], start_step: int, rate: float) -> tuple[Stretch, ...]:
    """The stretches of a leg to be trained again.

    Args:
        secret: The lease's, 64 hex digits.
        commitment: The last link of the leg's chain, 64 hex digits.
        steps: Steps of its links in order, at least one.
        start_step: Where the leg starts.
        rate: Probability of a replay, 0 to 1.

    Returns:
        With that probability one stretch, each being as likely; and in any case the first one of a training, which
        starts from public weights. In their order; none twice.
    """
    stretches = [Stretch(*ends) for ends in zip((start_step, *steps), steps, strict=False)]
    drawn = {stretches[0]} if start_step == 0 else set()
    if _fraction(secret, commitment, "replay") < rate * _WHOLE:
        drawn.add(stretches[_fraction(secret, commitment, "stretch") * len(stretches) // _WHOLE])
    return tuple(sorted(drawn))


def _fraction(secret: str, commitment: str, purpose: str) -> int:
    """A number in [0, 2^64): the first 8 bytes, big-endian, of HMAC-SHA256 of purpose, line feed and commitment."""
    message = f"{purpose}\n{commitment}".encode()
    return int.from_bytes(hmac.new(bytes.fromhex(secret), message, hashlib.sha256).digest()[:8], "big")
