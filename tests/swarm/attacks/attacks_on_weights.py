"""Attacks with weights that were not trained: damaged, untouched, random, or another's in some disguise."""

from __future__ import annotations

import torch
from attack import Attack, Tensors, copied, dice, honest, noisy, one_tensor, towards_start, weights
from hidden_copies import hidden
from safetensors.torch import load
from verify_attempt import Attempt, with_weights
from verify_world import MODEL, World

from paris.experts.models.model import initial_expert


def noise_in_one(world: World, tensors: Tensors) -> Tensors:
    noise = torch.randn(tensors["pos_embed"].shape, generator=dice(world, 3))
    return {**tensors, "pos_embed": tensors["pos_embed"] + 3 * noise}


def scaled_noise(world: World, tensors: Tensors) -> Tensors:
    generator = dice(world, 1)
    return {name: torch.randn(t.shape, generator=generator) * t.square().mean().sqrt() for name, t in tensors.items()}


def permuted(world: World, tensors: Tensors) -> Tensors:
    return hidden(tensors, dice(world, 2))


def average(world: World, tensors: Tensors) -> Tensors:
    other = load(world.train(2).weights)
    return {name: (value + other[name]) / 2 for name, value in tensors.items()}


def resubmitted(world: World) -> tuple[Attempt, dict]:
    attempt = with_weights(honest(world), world.train(1).weights)
    earlier = world.other(1).model_copy(update={"volunteer": attempt.volunteer.public_key})
    return attempt, {"others": [earlier]}


def pending_copy(world: World) -> tuple[Attempt, dict]:
    """A copy of a submission that is not verified yet: only its digest is known."""
    attempt = with_weights(honest(world), world.train(1).weights)
    pending = world.other(1, registered=False).model_copy(update={"path": None})
    return attempt, {"others": [pending]}


DAMAGED = (
    Attack(
        "wrong shape",
        "Turns a tensor round",
        "structure/shapes",
        one_tensor("pos_embed", lambda t: t.reshape(1, 48, 16)),
    ),
    Attack(
        "extra key",
        "Adds a tensor",
        "structure/extra-tensors",
        weights(lambda world, t: {**t, "ema": torch.zeros(1)}),
    ),
    Attack(
        "missing key",
        "Leaves a tensor out",
        "structure/missing-tensors",
        weights(lambda world, t: {n: v for n, v in t.items() if n != "pos_embed"}),
    ),
    Attack(
        "integers",
        "Rounds a tensor to integers",
        "structure/dtypes",
        one_tensor("pos_embed", lambda t: t.to(torch.int32)),
    ),
    Attack(
        "NaN",
        "Sets values to NaN",
        "structure/finite",
        one_tensor("pos_embed", lambda t: t.index_fill(1, torch.tensor(3), float("nan"))),
    ),
    Attack(
        "zeroed",
        "Sets all weights to zero",
        "structure/smallest-norm",
        weights(lambda world, t: {n: v * 0 for n, v in t.items()}),
    ),
    Attack(
        "one layer zeroed",
        "Sets one matrix to zero",
        "structure/smallest-norm",
        one_tensor("layers.1.mlp.0.weight", lambda t: t * 0),
    ),
    Attack(
        "huge",
        "Multiplies a matrix by 1e30",
        "structure/largest-norm",
        one_tensor("layers.1.mlp.0.weight", lambda t: t * 1e30),
    ),
)

UNTRAINED = (
    Attack("untouched", "Submits the initial weights", "novelty/distance", weights(lambda world, t: world.initial())),
    Attack("hardly touched", "Goes 1 % of an honest way", "novelty/distance", weights(towards_start(0.01))),
    Attack(
        "another start",
        "Submits initial weights of another seed",
        "skill/gain",
        weights(lambda world, t: dict(initial_expert(MODEL, 1000 + world.seed).state_dict())),
    ),
    Attack("random weights", "Submits noise of a plausible size", "skill/gain", weights(scaled_noise)),
)

COPIES = (
    Attack("copy", "Submits the registered expert of another task", "novelty/same-file", copied(lambda world, t: t)),
    Attack("copy of a pending one", "Submits a file that waits for its verdict", "novelty/same-file", pending_copy),
    Attack("re-submitted", "Submits its own accepted expert for a second task", "novelty/same-file", resubmitted),
    Attack("copy with noise", "Adds 15 % of noise", "novelty/copy", copied(lambda world, t: noisy(world, t, 0.15))),
    Attack("copy, shrunk", "Goes 80 % of a copy's way", "novelty/copy", copied(towards_start(0.8))),
    Attack(
        "copy in half precision",
        "Rounds a copy to bfloat16",
        "novelty/copy",
        copied(lambda world, t: {n: v.bfloat16() for n, v in t.items()}),
    ),
    Attack(
        "copy with noise in one tensor", "Hides a copy by noise in one tensor", "novelty/copy", copied(noise_in_one)
    ),
    Attack(
        "average of two experts",
        "Submits the mean of two registered experts",
        "skill/claimed-loss",
        copied(average),
    ),
    Attack(
        "copy in another order", "Permutes channels, heads and units of a copy", "novelty/hidden-copy", copied(permuted)
    ),
    Attack(
        "copy in another order with noise",
        "Permutes a copy with 20 % of noise",
        "novelty/hidden-copy",
        copied(lambda world, t: permuted(world, noisy(world, t, 0.2))),
    ),
    Attack(
        "copy in another order with much noise",
        "Permutes a copy with 50 % of noise",
        "skill",
        copied(lambda world, t: permuted(world, noisy(world, t, 0.5))),
    ),
)

ON_WEIGHTS = DAMAGED + UNTRAINED + COPIES
