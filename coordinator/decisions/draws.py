"""The secret that decides which stretches of a lease's work are replayed. Pure, like `tick`.

The lease carries the secret's digest, and the verdict reveals the secret: the draw was fixed before the work was done,
and the volunteer could not know it.
"""

from __future__ import annotations

import hashlib
import hmac

from paris.protocol.draws import draw_digest


def draw_secret(key: str, lease_id: str) -> str:
    """The draw secret of a lease, 64 hex digits.

    Args:
        key: The run's secret, hex.
        lease_id: Names the lease.
    """
    return hmac.new(bytes.fromhex(key), lease_id.encode(), hashlib.sha256).hexdigest()


def draw_sha256(key: str, lease_id: str) -> str:
    """The digest of the draw secret's bytes, 64 hex digits, as leases publish it."""
    return draw_digest(draw_secret(key, lease_id))
