"""Attacks of the catalogue against the real ladder: each is refused by the check meant for it, or passes as said."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from attack import dice, honest
from attacks_on_legs import ON_LEGS
from catalogue import ATTACKS
from hidden_copies import hidden
from safetensors.torch import load
from verify_attempt import figures, with_weights
from verify_world import MODEL, REPO, SIZE

from paris.coordinator.errors import HubError
from paris.coordinator.verify.hub_reads import HubReads, TooLarge
from paris.coordinator.verify.ladder import verify
from paris.experts.models.model import DiTExpert

CAUGHT = [  # test_verify_replay.py shows those of legs at the rung alone
    attack for attack in ATTACKS.values() if attack.caught_by and attack not in ON_LEGS
]
PASSING = [
    pytest.param(attack, marks=[pytest.mark.long] if attack.work >= 0.2 else [])
    for attack in ATTACKS.values()
    if not attack.caught_by
]


@pytest.mark.parametrize("attack", CAUGHT, ids=lambda attack: attack.name)
def test_the_ladder_refuses_the_attacker_with_rung_figure_and_bound(world, attack):
    attempt, how = attack.make(world)
    report = attempt.judge(**how)
    assert not report.accepted, figures(report)
    assert report.reason.split(": ")[0].startswith(attack.caught_by), f"{report.reason}\n{figures(report)}"
    refused = report.rungs[-1]
    record = refused.record()
    assert f": {record.figure:.12g}, " in report.reason
    assert f" {record.bound:.12g} is " in report.reason
    assert not report.verdict().rungs[-1].passed
    assert all(rung.passed for rung in report.rungs[:-1])


@pytest.mark.parametrize("attack", PASSING, ids=lambda attack: attack.name)
def test_what_the_catalogue_says_passes_still_does(world, attack):
    """Whoever closes such a gap names the check in the catalogue."""
    attempt, how = attack.make(world)
    report = attempt.judge(**how)
    assert report.accepted, f"{report.reason}\n{figures(report)}"


def test_a_copy_in_another_order_draws_the_same_though_its_weights_are_far_away(world):
    original = dict(load(world.train(1).weights))
    disguised, outputs = hidden(original, dice(world, 2)), []
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
