"""The order in which a training takes its shards; without torch, because the node fetches them in that order."""

from __future__ import annotations

import numpy as np

from paris.experts.seeds import seed_for


def drawn_as(task_id: str, lane: int = 0) -> str:
    """The name by which the rows, times and noise of a training are drawn.

    Lanes are trainings of one expert side by side, from the same state on other rows.

    Args:
        task_id: The expert's task, such as "expert-3".
        lane: Its number; lane 0 draws as a training without lanes.
    """
    return task_id if lane == 0 else f"{task_id}.{lane}"


def shard_order(seed: int, name: str, num_shards: int, epoch: int) -> list[int]:
    """All shards, shuffled for an epoch.

    Args:
        seed: The run's seed.
        name: `drawn_as`, such as "expert-3".
        num_shards: In the manifest.
        epoch: From 0.
    """
    return _permutation(seed_for(seed, "order", name, "shards", epoch), num_shards)


def _permutation(seed: int, count: int) -> list[int]:
    """What `torch.randperm` draws on a CPU from a generator with this seed, for less than 2^32 / 20 numbers.

    Source: `randperm_cpu` of ATen/native/TensorFactories.cpp: a Fisher-Yates shuffle from the front with 32-bit draws
    of mt19937, which torch seeds with the lower 32 bits.
    """
    draws = np.random.RandomState(seed & 0xFFFFFFFF).randint(0, 2**32, size=count, dtype=np.uint32).tolist()
    numbers = list(range(count))
    for place in range(count - 1):
        other = place + draws[place] % (count - place)
        numbers[place], numbers[other] = numbers[other], numbers[place]
    return numbers
