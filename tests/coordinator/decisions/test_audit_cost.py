"""What replays cost, and whom they find, at the defaults; by the benchmark whose figures docs/threat-model.md has."""

from __future__ import annotations

import math

import pytest

from benchmarks.audit_cost import found_share, policy_of, share
from paris.coordinator.decisions.baits import is_bait_drawn
from paris.coordinator.run.stretches import STRETCHES_A_LEG
from paris.coordinator.verify import VerificationBounds

USUAL = policy_of(VerificationBounds().replay_rate)


def test_at_the_defaults_less_than_a_hundredth_of_the_steps_is_trained_again():
    usual = share(0, 100, STRETCHES_A_LEG, USUAL)
    without_baits = share(0, 100, STRETCHES_A_LEG, USUAL.model_copy(update={"bait_rate": 0.0}))
    assert 0.005 < without_baits < usual < 0.01
    assert share(0, 100, STRETCHES_A_LEG // 4, USUAL) == pytest.approx(4 * usual, rel=0.1)


@pytest.mark.parametrize("legs", [10, 100])
def test_cheats_of_one_leg_in_ten_are_found_as_often_as_the_rates_say(legs):
    found = found_share(400, legs, USUAL)
    expected = 1 - math.prod(1 - 0.1 * max(0.1, 2 / (2 + number)) for number in range(legs))
    assert found == pytest.approx(expected, abs=4 * (expected * (1 - expected) / 400) ** 0.5)


def test_baits_are_drawn_at_their_rate():
    drawn = sum(is_bait_drawn(f"{number:032x}", 1, "ab" * 32, 0, USUAL) for number in range(2000))
    assert drawn / 2000 == pytest.approx(USUAL.bait_rate, abs=0.03)
