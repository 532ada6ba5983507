"""Seeds of all random numbers, by purpose; without torch."""

from __future__ import annotations

import hashlib
import json


def seed_for(seed: int, *name: str | int) -> int:
    """Derive a 63-bit seed from a root seed and a name.

    Args:
        seed: The run's seed, or any other root.
        name: The purpose of the numbers, such as `"noise", "expert-3", 1200`. `1` and `"1"` differ.
    """
    key = json.dumps([int(seed), *name], separators=(",", ":")).encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "big") >> 1
