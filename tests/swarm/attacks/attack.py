"""What an attack on the ladder is, and the small tools from which the catalogue is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from safetensors.torch import load, save
from verify_attempt import Attempt, with_weights
from verify_world import World

from paris.protocol.signing import Identity

MALLORY = Identity.generate()
Tensors = dict[str, torch.Tensor]
Make = Callable[[World], tuple[Attempt, dict]]
"""Prepares a submission, and what `Attempt.judge` needs besides: other checkpoints, bounds."""


@dataclass(frozen=True)
class Attack:
    """One way to cheat."""

    name: str
    does: str
    """What the cheat does, without a subject: "Signs with a key that holds no lease"."""
    caught_by: str | None
    """The check that refuses it, as "rung/check"; a rung alone where several of its checks do; None: it passes."""
    make: Make
    work: float = 0.0
    """Training steps that the cheat computes, as a share of an honest training's."""


def honest(world: World, **lease_changes) -> Attempt:
    """Honest work for task 0, which most attacks change."""
    return Attempt.honest(world, 0, **lease_changes)


def neighbours(world: World) -> dict:
    """The two other clusters have honest experts."""
    return {"others": [world.other(1), world.other(2)]}


def changed(**fields) -> Make:
    """An honest attempt with other fields; a callable receives the attempt."""

    def make(world: World) -> tuple[Attempt, dict]:
        attempt = honest(world)
        for name, value in fields.items():
            setattr(attempt, name, value(attempt) if callable(value) else value)
        return attempt, {}

    return make


def weights(change: Callable[[World, Tensors], Tensors]) -> Make:
    """Other tensors than the honest ones."""

    def make(world: World) -> tuple[Attempt, dict]:
        tensors = change(world, dict(load(world.train(0).weights)))
        return with_weights(honest(world), save(tensors)), neighbours(world)

    return make


def copied(change: Callable[[World, Tensors], Tensors]) -> Make:
    """The registered expert of task 1, changed, for task 0."""
    return weights(lambda world, _: change(world, dict(load(world.train(1).weights))))


def raw_weights(change: Callable[[bytes], bytes]) -> Make:
    """The honest file with other bytes."""

    def make(world: World) -> tuple[Attempt, dict]:
        return with_weights(honest(world), change(world.train(0).weights)), {}

    return make


def one_tensor(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Make:
    """One of the honest tensors is another."""
    return weights(lambda world, tensors: {**tensors, name: change(tensors[name])})


def dice(world: World, number: int) -> torch.Generator:
    """A generator for one attack in one world."""
    return torch.Generator().manual_seed(1000 * world.seed + number)


def towards_start(share: float) -> Callable[[World, Tensors], Tensors]:
    """Go only this share of the way from the start; above 1 goes beyond."""
    return lambda world, tensors: {n: torch.lerp(w0, tensors[n], share) for n, w0 in world.initial().items()}


def noisy(world: World, tensors: Tensors, share: float) -> Tensors:
    """Noise of this share of each tensor's way from the start."""
    initial, generator = world.initial(), dice(world, 0)
    return {
        name: value
        + share * (value - initial[name]).square().mean().sqrt() * torch.randn(value.shape, generator=generator)
        for name, value in tensors.items()
    }
