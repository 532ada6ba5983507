"""Run ids: `<name>-<first 16 hex digits of sha256(public key)>`.

The fingerprint lets anyone with the run id check the coordinator's key.
"""

from __future__ import annotations

import hashlib
import re

from paris.protocol.errors import RecordError

_FINGERPRINT_DIGITS = 16
_RUN_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?-[0-9a-f]{16}")


def make_run_id(name: str, public_key: str) -> str:
    """Make a run id.

    Args:
        name: 1 to 40 lower-case letters, digits and inner hyphens.
        public_key: The run's Ed25519 public key, 64 hex digits.

    Raises:
        RecordError: The name has other characters or is too long.
    """
    run_id = f"{name}-{_fingerprint(public_key)}"
    require_run_id(run_id)
    return run_id


def require_run_id(run_id: str) -> None:
    """Check the form of a run id.

    Raises:
        RecordError: It is not `<name>-<16 hex digits>`.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise RecordError(
            f"{run_id!r} is not a run id.",
            "Expected <name>-<16 hex digits>, with a name of lower-case letters, digits and hyphens.",
        )


def key_belongs_to_run(public_key: str, run_id: str) -> bool:
    """Whether the run id contains this key's fingerprint."""
    return run_id.endswith("-" + _fingerprint(public_key))


def _fingerprint(public_key: str) -> str:
    return hashlib.sha256(bytes.fromhex(public_key)).hexdigest()[:_FINGERPRINT_DIGITS]
