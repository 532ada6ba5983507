"""Scripted attackers against the real ladder: each is refused by the rung meant for it, with figure and bound."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable

import pytest
import torch
from hidden_copies import hidden
from safetensors.torch import load, save
from verify_attempt import Attempt, figures, with_weights
from verify_world import BOUNDS, MODEL, NOW, REPO, SIZE, World

from paris.coordinator.errors import HubError
from paris.coordinator.verify.hub_reads import HubReads, TooLarge
from paris.coordinator.verify.ladder import verify
from paris.experts.models.initial_weights import write_initial_weights
from paris.experts.models.model import DiTExpert, initial_expert
from paris.protocol.records import SubmittedFile
from paris.protocol.signing import Identity

MALLORY = Identity.generate()
Attack = Callable[[World], tuple[Attempt, dict]]


def honest(world: World, **lease_changes) -> Attempt:
    return Attempt.honest(world, 0, **lease_changes)


def changed(**fields) -> Attack:
    """An attacker who changes fields of an honest attempt."""

    def attack(world: World) -> tuple[Attempt, dict]:
        attempt = honest(world)
        for name, value in fields.items():
            setattr(attempt, name, value(attempt) if callable(value) else value)
        return attempt, {}

    return attack


def weights(
    change: Callable[[World, dict[str, torch.Tensor]], dict[str, torch.Tensor]], final_loss: float | None = None
) -> Attack:
    """An attacker who submits other tensors than the honest ones."""

    def attack(world: World) -> tuple[Attempt, dict]:
        tensors = change(world, dict(load(world.train(0).weights)))
        return with_weights(honest(world), save(tensors), final_loss), {"others": [world.other(1), world.other(2)]}

    return attack


def raw_weights(change: Callable[[bytes], bytes]) -> Attack:
    def attack(world: World) -> tuple[Attempt, dict]:
        return with_weights(honest(world), change(world.train(0).weights)), {}

    return attack


def one_tensor(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Attack:
    return weights(lambda world, tensors: {**tensors, name: change(tensors[name])})


def noisy(tensors: dict[str, torch.Tensor], initial: dict[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
    """Noise of this share of each tensor's delta."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: value
        + share * (value - initial[name]).square().mean().sqrt() * torch.randn(value.shape, generator=generator)
        for name, value in tensors.items()
    }


def copied(change: Callable[[World, dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Attack:
    """An attacker who takes the expert of task 1 for task 0."""
    return weights(lambda world, _: change(world, dict(load(world.train(1).weights))))


def trained_on(world: World) -> tuple[Attempt, dict]:
    """The expert of task 1 in another order, trained for 2 % of the steps on the cluster of task 0."""
    copy = DiTExpert(MODEL)
    copy.load_state_dict(hidden(dict(load(world.train(1).weights))))
    start = write_initial_weights(world.folder, copy)
    weights_of = world.train(0, steps=2, start=start).weights
    return with_weights(honest(world), weights_of), {"others": [world.other(1), world.other(2)]}


def noise_in_one(world: World, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {**tensors, "pos_embed": tensors["pos_embed"] + torch.randn(tensors["pos_embed"].shape) * 3}


def overlapping(raw: bytes) -> bytes:
    """Two tensors of one shape that share their bytes; the second one's own lie unused."""
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header["layers.1.mlp.0.bias"]["data_offsets"] = header["layers.0.mlp.0.bias"]["data_offsets"]
    text = json.dumps(header, separators=(",", ":")).encode().ljust(length)
    return len(text).to_bytes(8, "little") + text + raw[8 + length :]


def half_a_character(raw: bytes) -> bytes:
    """Metadata that Python's JSON accepts and the safetensors library, which a release reads with, does not."""
    length = int.from_bytes(raw[:8], "little")
    header = b'{"__metadata__":{"x":"\\ud800"},' + raw[9 : 8 + length]
    return len(header).to_bytes(8, "little") + header + raw[8 + length :]


def file_of(attempt: Attempt, **changes) -> dict:
    fields = {"path": f"{attempt.place}/expert.safetensors", "sha256": hashlib.sha256(attempt.weights).hexdigest()}
    return {"files": (SubmittedFile(**{**fields, "bytes": len(attempt.weights), **changes}),)}


def not_json(raw: bytes) -> bytes:
    length = int.from_bytes(raw[:8], "little")
    return raw[:8] + b"]" * length + raw[8 + length :]


def late(world: World) -> tuple[Attempt, dict]:
    attempt = honest(world, expires_at=NOW - 500.0)
    attempt.task = world.task(0, state="registered")
    return attempt, {}


def tampered(world: World) -> tuple[Attempt, dict]:
    attempt = honest(world)
    attempt.record = attempt._sealed(attempt._payload(), 2).replace('"steps":120', '"steps":121')
    return attempt, {}


def resubmitted(world: World) -> tuple[Attempt, dict]:
    """The attacker's own accepted expert of task 1, once more for task 0."""
    attempt = with_weights(honest(world), world.train(1).weights)
    earlier = world.other(1).model_copy(update={"volunteer": attempt.volunteer.public_key})
    return attempt, {"others": [earlier]}


def pending_copy(world: World) -> tuple[Attempt, dict]:
    """A copy of a submission that is not verified yet: only its digest is known."""
    attempt = with_weights(honest(world), world.train(1).weights)
    pending = world.other(1, registered=False).model_copy(update={"path": None})
    return attempt, {"others": [pending]}


def wrong_cluster(*yardsticks: int, **bounds) -> Attack:
    """Trained on cluster 1 with the order and noise of task 0."""

    def attack(world: World) -> tuple[Attempt, dict]:
        trained = world.train(1, as_task=0)
        how = {"others": [world.other(k) for k in yardsticks], "bounds": BOUNDS.model_copy(update=bounds)}
        return with_weights(honest(world), trained.weights, trained.final_loss), how

    return attack


def too_few_steps(steps: int, **bounds) -> Attack:
    """Stopped early, with the loss that an honest training would have claimed."""

    def attack(world: World) -> tuple[Attempt, dict]:
        how = {"others": [world.other(1), world.other(2)], "bounds": BOUNDS.model_copy(update=bounds)}
        return with_weights(honest(world), world.train(0, steps=steps).weights), how

    return attack


def scaled_noise(world: World, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(t.shape, generator=generator) * t.square().mean().sqrt() for name, t in tensors.items()}


ATTACKS: dict[str, tuple[Attack, str]] = {
    "record changed after signing": (tampered, "envelope/signature"),
    "record is noise": (changed(record="{]"), "envelope/signature"),
    "signed by somebody without the lease": (changed(signer=MALLORY), "envelope/lease-holder"),
    "another lease": (changed(facts={"lease_id": "e" * 32}), "envelope/lease-id"),
    "another attempt": (changed(facts={"attempt": 2}), "envelope/attempt"),
    "another task": (changed(facts={"task_id": "expert-1"}), "envelope/task"),
    "late for a registered task": (late, "envelope/late"),
    "fewer steps than asked": (changed(facts={"steps": 10}), "envelope/steps"),
    "another repo": (changed(facts={"repo": "mallory/shapes"}), "envelope/repo"),
    "no commit": (changed(facts={"commit": None}), "envelope/pinned"),
    "no such pull request": (changed(facts={"pull_request": 10**6}), "envelope/pull-request"),
    "another commit": (changed(facts={"commit": "0" * 40}), "envelope/head"),
    "swapped after signing": (changed(pushed_later=lambda a: a.world.train(1).weights), "envelope/head"),
    "swapped before signing": (changed(weights_on_hub=lambda a: a.world.train(1).weights), "envelope/hub-digest"),
    "smaller than the Hub's": (changed(facts=lambda a: file_of(a, bytes=len(a.weights) - 1)), "envelope/hub-size"),
    "oversize": (raw_weights(lambda raw: raw + bytes(len(raw))), "envelope/declared-size"),
    "oversize on the Hub": (changed(weights_on_hub=lambda a: a.weights + bytes(9)), "envelope/hub-size"),
    "pickle by name": (changed(facts=lambda a: file_of(a, path=f"{a.place}/expert.bin")), "envelope/declared-files"),
    "path outside": (changed(facts=lambda a: file_of(a, path="experts/expert.safetensors")), "envelope/declared-files"),
    "extra file": (changed(files=lambda a: {f"{a.place}/hook.py": b"import os\n"}), "envelope/extra-files"),
    "changes a file of the run": (changed(files={"notes.txt": b"Mine.\n"}), "envelope/foreign-changes"),
    "plants code": (changed(files={"modeling.py": b"import os\n"}), "envelope/foreign-changes"),
    "no record inside": (changed(leave_out=lambda a: (f"{a.place}/submission.json",)), "envelope/missing-files"),
    "inflated record": (changed(files=lambda a: {f"{a.place}/submission.json": b" " * 20000}), "envelope/record-size"),
    "another loss inside": (changed(inner_facts={"final_loss": 0.01}), "envelope/record-facts"),
    "a record inside that another signed": (changed(inner_signer=MALLORY), "envelope/record-signer"),
    "header that is no JSON": (raw_weights(not_json), "structure/header-json"),
    "pickle in disguise": (raw_weights(lambda raw: pickle.dumps({"w": 1})), "structure/header-size"),
    "header bomb": (raw_weights(lambda raw: (2**40).to_bytes(8, "little") + raw[8:]), "structure/header-size"),
    "overlapping offsets": (raw_weights(overlapping), "structure/header-tiling"),
    "bytes behind": (raw_weights(lambda raw: raw + b"#!/bin/sh"), "structure/header-end"),
    "metadata that only Python reads": (raw_weights(half_a_character), "structure/header-json"),
    "wrong shape": (one_tensor("pos_embed", lambda t: t.reshape(1, 48, 16)), "structure/shapes"),
    "extra key": (weights(lambda world, t: {**t, "ema": torch.zeros(1)}), "structure/extra-tensors"),
    "missing key": (
        weights(lambda world, t: {n: v for n, v in t.items() if n != "pos_embed"}),
        "structure/missing-tensors",
    ),
    "integers": (one_tensor("pos_embed", lambda t: t.to(torch.int32)), "structure/dtypes"),
    "NaN": (one_tensor("pos_embed", lambda t: t.index_fill(1, torch.tensor(3), float("nan"))), "structure/finite"),
    "zeroed": (weights(lambda world, t: {n: v * 0 for n, v in t.items()}), "structure/smallest-norm"),
    "one layer zeroed": (one_tensor("layers.1.mlp.0.weight", lambda t: t * 0), "structure/smallest-norm"),
    "huge": (one_tensor("layers.1.mlp.0.weight", lambda t: t * 1e30), "structure/largest-norm"),
    "untouched": (weights(lambda world, t: world.initial()), "novelty/distance"),
    "hardly touched": (
        weights(lambda world, t: {n: torch.lerp(v, t[n], 0.01) for n, v in world.initial().items()}),
        "novelty/distance",
    ),
    "copy": (copied(lambda world, t: t), "novelty/same-file"),
    "copy of a pending one": (pending_copy, "novelty/same-file"),
    "re-submitted": (resubmitted, "novelty/same-file"),
    "copy with noise": (copied(lambda world, t: noisy(t, world.initial(), 0.15)), "novelty/copy"),
    "copy, shrunk": (
        copied(lambda world, t: {n: torch.lerp(v, t[n], 0.8) for n, v in world.initial().items()}),
        "novelty/copy",
    ),
    "copy in half precision": (copied(lambda world, t: {n: v.bfloat16() for n, v in t.items()}), "novelty/copy"),
    "copy with noise in one tensor": (copied(noise_in_one), "novelty/copy"),
    "copy in another order": (copied(lambda world, t: hidden(t)), "novelty/hidden-copy"),
    "copy in another order with noise": (
        copied(lambda world, t: hidden(noisy(t, world.initial(), 0.2))),
        "novelty/hidden-copy",
    ),
    "copy in another order, trained a little": (trained_on, "novelty/hidden-copy"),
    "another start": (weights(lambda world, t: dict(initial_expert(MODEL, 8).state_dict())), "skill/gain"),
    "random weights": (weights(scaled_noise), "skill/gain"),
    "wrong cluster": (wrong_cluster(1, 2), "skill/identity"),
    "wrong cluster, nobody there yet, strict": (wrong_cluster(max_foreign_advantage=0.1), "skill/home-cluster"),
    "tenth of the steps": (too_few_steps(12), "skill/ahead-of-peers"),
    "quarter of the steps": (too_few_steps(30), "skill/ahead-of-peers"),
    "half of the steps, strict organiser": (too_few_steps(60, min_peer_gain_share=0.8), "skill/gain-of-peers"),
    "invented loss": (changed(final_loss=0.05), "skill/claimed-loss"),
}


@pytest.mark.parametrize(("attack", "reason"), ATTACKS.values(), ids=ATTACKS)
def test_the_ladder_refuses_the_attacker_with_rung_figure_and_bound(world, attack, reason):
    attempt, how = attack(world)
    report = attempt.judge(**how)
    assert not report.accepted
    assert report.reason.startswith(f"{reason}: "), f"{report.reason}\n{figures(report)}"
    refused = report.rungs[-1]
    record = refused.record()
    assert f": {record.figure:.12g}, " in report.reason
    assert f" {record.bound:.12g} is " in report.reason
    assert not report.verdict().rungs[-1].passed
    assert all(rung.passed for rung in report.rungs[:-1])


def test_a_copy_in_another_order_draws_the_same_though_its_weights_are_far_away(world):
    original = dict(load(world.train(1).weights))
    disguised, outputs = hidden(original), []
    x, t = torch.randn(4, 3, SIZE, SIZE), torch.rand(4)
    text, mask = torch.randn(4, 3, 8), torch.tensor([[True, True, False]] * 4)
    for weights_of in (original, disguised):
        expert = DiTExpert(MODEL)
        expert.load_state_dict(weights_of)
        outputs.append(expert(x, t, text, mask).detach())
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-5, rtol=1e-4)
    assert sum(float((disguised[n] - w).square().sum()) for n, w in original.items()) > 100


def test_a_download_ends_at_its_cap_whatever_the_hub_announced_and_keeps_nothing(world, tmp_path):
    attempt = honest(world)
    case = attempt.submit()
    commit = json.loads(case.submission)["payload"]["commit"]
    hub, size = HubReads(case.hub_endpoint, case.token, REPO), len(attempt.weights)
    path, target = f"{attempt.place}/expert.safetensors", tmp_path / "expert.safetensors"
    with pytest.raises(TooLarge, match=f"more than {size - 1} bytes"):
        hub.download(path, commit, target, max_bytes=size - 1)
    assert list(tmp_path.iterdir()) == []
    assert hub.download(path, commit, target, max_bytes=size) == hashlib.sha256(attempt.weights).hexdigest()
    assert target.read_bytes() == attempt.weights


def test_bytes_that_a_hub_changed_on_their_way_are_no_fault_of_the_volunteer(world):
    own = bytearray(world.train(0).weights)
    own[-1] ^= 1
    attempt = with_weights(honest(world), bytes(own))
    attempt.served_instead = world.train(0).weights
    case = attempt.submit()
    with pytest.raises(HubError, match="arrived with digest"):
        verify(case, lambda line: None)
    assert not case.candidate.exists()
