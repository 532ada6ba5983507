"""Canonical JSON, which is signed and hashed, and strict parsing of JSON from outside."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from paris.protocol.errors import RecordError


def canonical_bytes(value: Any) -> bytes:
    """Encode a JSON value as canonical UTF-8: sorted keys, no white space, no NaN or infinity.

    Args:
        value: Nested dicts with string keys, lists, strings, ints, finite floats, booleans, None.

    Returns:
        The bytes to sign and hash: equal values give equal bytes.

    Raises:
        RecordError: The value is not finite JSON.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode("utf-8")
    except (TypeError, ValueError) as error:
        raise RecordError(f"Not a finite JSON value: {error}.") from error


def parse_json(data: bytes, *, max_bytes: int) -> Any:
    """Parse untrusted JSON; refuse repeated keys and non-finite numbers.

    Args:
        data: Bytes from a peer, a file or a Hub repo.
        max_bytes: Largest length, checked before parsing.

    Raises:
        RecordError: Too long, not UTF-8, malformed, not finite, nested too deep, or with a repeated key.
    """
    if len(data) > max_bytes:
        raise RecordError(f"The record has {len(data)} bytes, at most {max_bytes} are allowed.")
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_no_repeats, parse_constant=_no_constants)
    except RecordError:
        raise
    except (
        ValueError,
        RecursionError,
    ) as error:  # ValueError: not UTF-8, not JSON, or an integer of thousands of digits
        raise RecordError(f"The record is not JSON: {error}.") from error


def digest(data: bytes) -> str:
    """SHA-256 of bytes as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise RecordError("A JSON object has a repeated key.")
    return result


def _no_constants(name: str) -> Any:
    raise RecordError(f"{name} is not a finite number.")
