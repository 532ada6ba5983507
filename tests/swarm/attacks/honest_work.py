"""Honest work as different machines, runs and accidents make it: the ladder must pass all of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from attack import Make
from attacks_in_training import EPSILON, WARM
from attacks_on_legs import HONEST_STATES, REPLAYED, leg_of
from safetensors.torch import load, save
from verify_attempt import Attempt, with_weights
from verify_legs import EVERY, LEG, SHARD_ROWS, LegAttempt, put_on_main, secret_for, train_leg
from verify_world import NUM_CLUSTERS, STEPS, World

from paris.coordinator.verify import LegStart
from paris.experts.training.machine import MachineSettings
from paris.protocol.draws import Stretch


@dataclass(frozen=True)
class HonestWork:
    """One way to be honest."""

    name: str
    make: Make


def others(world: World, cluster: int) -> list:
    return [world.other(k) for k in range(NUM_CLUSTERS) if k != cluster]


def first(cluster: int) -> Make:
    return lambda world: (Attempt.honest(world, cluster), {})


def among_others(cluster: int) -> Make:
    return lambda world: (Attempt.honest(world, cluster), {"others": others(world, cluster)})


def second_on_a_task(world: World) -> tuple[Attempt, dict]:
    return Attempt.honest(world, 0), {"others": [world.other(0), *others(world, 0)]}


def trained(**how: Any) -> Make:
    """Trained on task 0 in another way."""

    def make(world: World) -> tuple[Attempt, dict]:
        result = world.train(0, **how)
        return with_weights(Attempt.honest(world, 0), result.weights, result.final_loss), {"others": others(world, 0)}

    return make


def rounded(dtype: torch.dtype) -> Make:
    def make(world: World) -> tuple[Attempt, dict]:
        halves = {name: value.to(dtype) for name, value in load(world.train(0).weights).items()}
        return with_weights(Attempt.honest(world, 0), save(halves)), {"others": others(world, 0)}

    return make


def with_other_kernels(world: World) -> tuple[Attempt, dict]:
    with torch.backends.mkldnn.flags(enabled=False):
        # Another interruption only makes the key another one: the same training otherwise.
        return trained(machine=MachineSettings(batches_ahead=3))(world)


def small_cluster(world: World) -> tuple[Attempt, dict]:
    """A cluster of 20 pictures."""
    shards = world.changed_shards(0, "small", lambda row, index: row if index < 10 else None)
    attempt, how = trained(shards=shards)(world)
    return attempt, how | {"shards": shards}


def common_start(cluster: int, is_first: bool) -> Make:
    def make(world: World) -> tuple[Attempt, dict]:
        warm = world.warm(STEPS // 5)
        return Attempt.honest(warm, cluster), {"others": [] if is_first else others(warm, cluster), "bounds": WARM}

    return make


def epsilon(yardstick: Callable[[World], list]) -> Make:
    def make(world: World) -> tuple[Attempt, dict]:
        result = world.train(1, objective=EPSILON)
        attempt = with_weights(Attempt.honest(world, 1), result.weights, result.final_loss)
        attempt.task = world.task(1, objective=EPSILON.to_settings())
        return attempt, {"others": yardstick(world)}

    return make


def whole_leg(world: World) -> tuple[Attempt, dict]:
    return LegAttempt.of(world, 0, train_leg(world, 0, LEG)), REPLAYED


def leg_from_a_head(world: World) -> tuple[Attempt, dict]:
    """From where another volunteer ended; the stretch behind that head is replayed."""
    before = train_leg(world, 0, LEG)
    leg, head = train_leg(world, 0, 2 * LEG, before), put_on_main(world, before)
    start = LegStart(commitment=head.commitment, head=head, shard_rows=SHARD_ROWS)
    secret = secret_for(leg, Stretch(LEG, LEG + EVERY))
    return LegAttempt.of(world, 0, leg), {"leg": start, "draw_secret": secret, "replay_rate": 1.0}


HONEST = (
    *(HonestWork(f"cluster {cluster}, first", first(cluster)) for cluster in range(NUM_CLUSTERS)),
    *(HonestWork(f"cluster {cluster}, among others", among_others(cluster)) for cluster in range(NUM_CLUSTERS)),
    HonestWork("second on the same task", second_on_a_task),
    HonestWork("2 threads", trained(machine=MachineSettings(num_threads=2))),
    HonestWork("4 threads", trained(machine=MachineSettings(num_threads=4))),
    HonestWork("without oneDNN", with_other_kernels),
    HonestWork("micro-batches of 5", trained(machine=MachineSettings(micro_batch_size=5))),
    HonestWork("checkpointing", trained(machine=MachineSettings(checkpointing=True))),
    HonestWork("interrupted and continued", trained(interrupted_at=50)),
    HonestWork(
        "handed over by a machine of 2 threads", trained(machine=MachineSettings(num_threads=2), interrupted_at=70)
    ),
    HonestWork("submitted in bfloat16", rounded(torch.bfloat16)),
    HonestWork("submitted in float16", rounded(torch.float16)),
    HonestWork("cluster of 20 pictures", small_cluster),
    *(HonestWork(f"common start, cluster {k}, first", common_start(k, True)) for k in range(NUM_CLUSTERS)),
    *(HonestWork(f"common start, cluster {k}, among others", common_start(k, False)) for k in range(NUM_CLUSTERS)),
    HonestWork("leg of two snapshots", whole_leg),
    HonestWork("leg from another's head", leg_from_a_head),
    *(HonestWork(name, leg_of(state)) for name, state in HONEST_STATES.items()),
    HonestWork("noise prediction beside velocities", epsilon(lambda world: [world.other(0), world.other(2)])),
    HonestWork(
        "noise prediction beside both", epsilon(lambda world: [world.other(0, objective=EPSILON), world.other(2)])
    ),
)
