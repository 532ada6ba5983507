"""The source of all random numbers: CPU generators named by their purpose.

A generator is a function of seed and name alone: no draw depends on the device, the number of workers, or earlier
draws. Integers and uniform numbers in [0, 1) are then equal to the last bit on every machine. Normal and scaled uniform
ones are on all processors with AVX2; elsewhere they differ by up to 2e-6, as torch rounds them there (docs/models.md).
"""

from __future__ import annotations

import torch

from paris.experts.seeds import seed_for


def generator_for(seed: int, *name: str | int) -> torch.Generator:
    """A CPU generator seeded by `seed_for`."""
    return torch.Generator(device="cpu").manual_seed(seed_for(seed, *name))
