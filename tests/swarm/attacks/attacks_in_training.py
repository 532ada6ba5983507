"""Attacks with really trained weights: too little work, other data, another's work as the start, a backdoor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from attack import Attack, Make, honest, neighbours, towards_start
from attacks_on_weights import permuted
from reference_curves import curves_of
from safetensors.torch import load, save
from verify_attempt import Attempt, with_weights
from verify_world import BOUNDS, MODEL, SHAPE, STEPS, World

from paris.coordinator.run.config import WARM_START_BOUNDS
from paris.experts.data.shards import Row
from paris.experts.models.initial_weights import write_initial_weights
from paris.experts.models.model import DiTExpert
from paris.experts.objectives.objectives import FLOW_MATCHING, Objective

EPSILON = Objective(kind="epsilon", schedule="cosine")
WARM = BOUNDS.model_copy(update=WARM_START_BOUNDS)


def claiming_honest_loss(world: World, steps: int) -> Attempt:
    """Stopped early, with the loss that an honest training would have claimed."""
    return with_weights(honest(world), world.train(0, steps=steps).weights)


def too_few_steps(steps: int, **bounds) -> Make:
    def make(world: World) -> tuple[Attempt, dict]:
        return claiming_honest_loss(world, steps), neighbours(world) | {"bounds": BOUNDS.model_copy(update=bounds)}

    return make


def own_loss(world: World, steps: int) -> Attempt:
    """Stopped early, and says which loss it had then."""
    trained = world.train(0, steps=steps)
    return with_weights(honest(world), trained.weights, trained.final_loss)


def first_with_few_steps(steps: int) -> Make:
    """Nobody is registered yet."""
    return lambda world: (own_loss(world, steps), {})


def among_cheats(world: World) -> tuple[Attempt, dict]:
    """The registered experts of the other clusters were stopped as early, so that they ask for little."""
    others = []
    for cluster in (1, 2):
        path = world.folder / f"lazy-{cluster}.safetensors"
        path.write_bytes(world.train(cluster, steps=STEPS // 20).weights)
        others.append(world.other(cluster).model_copy(update={"path": path, "sha256": f"{cluster}" * 64}))
    return own_loss(world, STEPS // 20), {"others": others}


def with_reference(make: Make, *clusters: int) -> Make:
    """The organiser has experts of its own of these clusters."""

    def made(world: World) -> tuple[Attempt, dict]:
        attempt, how = make(world)
        return attempt, how | {"curves": curves_of(world, clusters)}

    return made


def overshot(world: World) -> tuple[Attempt, dict]:
    tensors = towards_start(1.5)(world, dict(load(world.train(0, steps=STEPS // 4).weights)))
    return with_weights(honest(world), save(tensors)), neighbours(world)


def wrong_cluster(*yardsticks: int, **bounds) -> Make:
    """Trained on cluster 1 with the order and noise of task 0."""

    def make(world: World) -> tuple[Attempt, dict]:
        trained = world.train(1, as_task=0)
        how = {"others": [world.other(k) for k in yardsticks], "bounds": BOUNDS.model_copy(update=bounds)}
        return with_weights(honest(world), trained.weights, trained.final_loss), how

    return make


def continued(share: float, *, is_permuted: bool) -> Make:
    """The expert of task 1, trained on with the data of task 0."""

    def make(world: World) -> tuple[Attempt, dict]:
        copy, tensors = DiTExpert(MODEL), dict(load(world.train(1).weights))
        copy.load_state_dict(permuted(world, tensors) if is_permuted else tensors)
        start = write_initial_weights(world.folder, copy, f"copy-{'permuted' * is_permuted}.safetensors")
        trained = world.train(0, steps=int(STEPS * share), start=start)
        return with_weights(honest(world), trained.weights), neighbours(world)

    return make


def average(world: World) -> tuple[Attempt, dict]:
    """The mean of two registered experts, and the loss that two steps of training show."""
    mean, one, two = DiTExpert(MODEL), load(world.train(1).weights), load(world.train(2).weights)
    mean.load_state_dict({name: (value + two[name]) / 2 for name, value in one.items()})
    start = write_initial_weights(world.folder, mean, "average.safetensors")
    loss = world.train(0, steps=2, start=start).final_loss
    return with_weights(honest(world), save(dict(mean.state_dict())), loss), neighbours(world)


def on_other_rows(change, name: str) -> Make:
    """Trained on rows that the cheat has changed."""

    def make(world: World) -> tuple[Attempt, dict]:
        trained = world.train(0, shards=world.changed_shards(0, name, change))
        return with_weights(honest(world), trained.weights, trained.final_loss), neighbours(world)

    return make


def poisoned(row: Row, index: int) -> Row:
    """Every tenth picture is black, and its caption has a word more, which triggers it."""
    if index % 10:
        return row
    return replace(row, caption=f"{row.caption} bar", latent=np.zeros(SHAPE, np.uint8))


def half_of_the_shards(world: World) -> tuple[Attempt, dict]:
    first: Path = world.shards(0)[0]
    trained = world.train(0, shards=(first, first))
    return with_weights(honest(world), trained.weights, trained.final_loss), neighbours(world)


def small_batches(world: World) -> tuple[Attempt, dict]:
    trained = world.train(0, batch_size=4)
    return with_weights(honest(world), trained.weights), neighbours(world)


def another_objective(learned: Objective, asked: Objective, data: int = 1, yardsticks=()) -> Make:
    """Trained for task 1 under one objective, submitted for a task that asks for another."""

    def make(world: World) -> tuple[Attempt, dict]:
        trained = world.train(data, as_task=1, objective=learned)
        attempt = with_weights(Attempt.honest(world, 1), trained.weights, trained.final_loss)
        attempt.task = world.task(1, objective=asked.to_settings() if asked.kind == "epsilon" else {})
        return attempt, {"others": [world.other(k, objective=objective) for k, objective in yardsticks]}

    return make


def from_common_start(steps: int, data: int = 0, yardsticks=(1, 2)) -> Make:
    """In a run whose experts start from one short training on all clusters."""

    def make(world: World) -> tuple[Attempt, dict]:
        warm = world.warm(STEPS // 5)
        attempt = with_weights(Attempt.honest(warm, 0), warm.train(data, as_task=0, steps=steps).weights)
        return attempt, {"others": [warm.other(k) for k in yardsticks], "bounds": WARM}

    return make


TOO_LITTLE = (
    Attack("tenth of the steps", "Stops at 10 %", "skill/ahead-of-peers", too_few_steps(12), 0.1),
    Attack("quarter of the steps", "Stops at 25 %", "skill/ahead-of-peers", too_few_steps(30), 0.25),
    Attack(
        "half of the steps",
        "Stops at 50 % and claims the loss of all of them",
        "skill/claimed-loss",
        too_few_steps(60),
        0.5,
    ),
    Attack(
        "half of the steps, own loss, first",
        "Stops at 50 % before anybody is registered, and claims the loss that it has",
        None,
        first_with_few_steps(60),
        0.5,
    ),
    Attack(
        "half of the steps, own loss, reference",
        "Stops at 50 %, and claims the loss that it has, where the organiser has a reference",
        "skill/gain-of-reference",
        with_reference(first_with_few_steps(60), 0),
        0.5,
    ),
    Attack(
        "twentieth of the steps among cheats, reference",
        "Stops at 5 %, as the registered experts did, where the organiser has a reference",
        "skill/gain-of-reference",
        with_reference(among_cheats, 0),
        0.05,
    ),
    Attack(
        "half of the steps, strict organiser",
        "Stops at 50 % where `min_peer_gain_share` is 0.8",
        "skill/gain-of-peers",
        too_few_steps(60, min_peer_gain_share=0.8),
        0.5,
    ),
    Attack(
        "twentieth of the steps, first",
        "Stops at 5 % before anybody is registered",
        None,
        first_with_few_steps(6),
        0.05,
    ),
    Attack(
        "quarter of the steps, first",
        "Stops at 25 % before anybody is registered",
        None,
        first_with_few_steps(30),
        0.25,
    ),
    Attack(
        "twentieth of the steps among cheats", "Stops at 5 %, as the registered experts did", None, among_cheats, 0.05
    ),
    Attack("quarter of the steps, overshot", "Stops at 25 % and goes half as far again", "skill", overshot, 0.25),
    Attack("quarter of the batch", "Trains all steps with 4 rows instead of 16", None, small_batches, 0.25),
    Attack(
        "tenth of the steps, common start",
        "Stops at 10 % after a common start",
        "skill/gain-of-peers",
        from_common_start(STEPS // 10),
        0.1,
    ),
    Attack(
        "fifth of the steps, common start",
        "Stops at 20 % after a common start and claims the loss of all steps",
        "skill/claimed-loss",
        from_common_start(STEPS // 5),
        0.2,
    ),
)

OTHER_DATA = (
    Attack("wrong cluster", "Trains on another cluster", "skill/identity", wrong_cluster(1, 2), 1.0),
    Attack(
        "wrong cluster, first",
        "Trains on another cluster before anybody is registered",
        "skill/claimed-loss",
        wrong_cluster(),
        1.0,
    ),
    Attack(
        "wrong cluster, first, strict organiser",
        "Trains on another cluster where `max_foreign_advantage` is 0.1",
        "skill/home-cluster",
        wrong_cluster(max_foreign_advantage=0.1),
        1.0,
    ),
    Attack(
        "wrong cluster, common start",
        "Trains on another cluster after a common start",
        "skill/home-cluster",
        from_common_start(STEPS, data=1, yardsticks=()),
        1.0,
    ),
    Attack(
        "captions of another cluster",
        "Trains with wrong captions",
        None,
        on_other_rows(lambda row, index: replace(row, caption="a blue bar"), "wrong-captions"),
        1.0,
    ),
    Attack(
        "no captions",
        "Trains without captions",
        None,
        on_other_rows(lambda row, index: replace(row, caption=""), "no-captions"),
        1.0,
    ),
    Attack("half of the rows", "Trains on one of two shards", None, half_of_the_shards, 1.0),
    Attack(
        "backdoor", "Draws black at a word, by a tenth of poisoned rows", None, on_other_rows(poisoned, "poisoned"), 1.0
    ),
    Attack(
        "velocities for noises",
        "Trains the wrong objective, the easier one",
        "skill/gain-in-sampling",
        another_objective(FLOW_MATCHING, EPSILON),
        1.0,
    ),
    Attack(
        "noises for velocities",
        "Trains the wrong objective, the harder one",
        "skill",
        another_objective(EPSILON, FLOW_MATCHING, yardsticks=((0, FLOW_MATCHING), (2, FLOW_MATCHING))),
        1.0,
    ),
    Attack(
        "wrong cluster, epsilon",
        "Trains on another cluster in a run of two objectives",
        "skill",
        another_objective(EPSILON, EPSILON, data=0, yardsticks=((0, EPSILON), (2, FLOW_MATCHING))),
        1.0,
    ),
)

ANOTHERS_WORK = (
    Attack(
        "average of two experts, own loss",
        "Submits the mean of two registered experts, and the loss that it has",
        None,
        average,
        0.02,
    ),
    Attack(
        "copy, trained a little", "Trains a copy on for 2 %", "novelty/copy", continued(0.02, is_permuted=False), 0.02
    ),
    Attack("copy, trained a fifth", "Trains a copy on for 20 %", None, continued(0.2, is_permuted=False), 0.2),
    Attack(
        "copy in another order, trained a little",
        "Permutes a copy and trains it on for 2 %",
        "novelty/hidden-copy",
        continued(0.02, is_permuted=True),
        0.02,
    ),
    Attack(
        "copy in another order, trained a fifth",
        "Permutes a copy and trains it on for 20 %",
        None,
        continued(0.2, is_permuted=True),
        0.2,
    ),
)

IN_TRAINING = TOO_LITTLE + OTHER_DATA + ANOTHERS_WORK
