"""Where every random number comes from: CPU generators named by what they are for.

A generator is a function of its name alone, so that no draw depends on the device, on the number of workers, or on
how many draws were made before it.
"""

from __future__ import annotations

import hashlib
import json

import torch


def seed_for(seed: int, *parts: str | int) -> int:
    """Derive a 63-bit seed from a root seed and a name.

    Args:
        seed: The run's seed, or any other root.
        parts: What the numbers are for, such as `"noise", "expert-3", 1200`. `1` and `"1"` differ.
    """
    name = json.dumps([int(seed), *parts], separators=(",", ":")).encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:8], "big") >> 1


def generator_for(seed: int, *parts: str | int) -> torch.Generator:
    """A CPU generator seeded by `seed_for(seed, *parts)`.

    Args:
        seed: The run's seed, or any other root.
        parts: What the numbers are for.
    """
    return torch.Generator(device="cpu").manual_seed(seed_for(seed, *parts))
