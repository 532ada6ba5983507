"""The plan's figures follow from shapes, rows and rates; each is checked by another way."""

from __future__ import annotations

import io

import pytest
from planned import facts, large, plan, settings

from paris.coordinator.errors import NotReadyError
from paris.coordinator.planning.build import make_plan
from paris.coordinator.planning.by_card import rounds_s
from paris.coordinator.planning.cards import load_cards
from paris.coordinator.planning.facts import facts_before
from paris.coordinator.planning.measured import MeasuredDevice
from paris.coordinator.planning.speed import MeasuredStep, Speed, fit_speed, training_s
from paris.coordinator.planning.tables import print_plan
from paris.coordinator.planning.words import duration, size
from paris.coordinator.planning.work import work_of
from paris.experts.models.flops import step_flops
from paris.experts.models.presets import PRESETS
from paris.experts.training.needs import memory_bytes


def card(made, name):
    return next(each for each in made.cards if each.name == name)


def test_hours_are_operations_over_the_assumed_rate():
    given = large()
    made, work = make_plan(given), work_of(given)
    a40, assumed = card(made, "A40"), load_cards().assumed
    rate = 149.7e12 * assumed.half_utilisation
    pieces = -(-32 // a40.rows_together)
    by_hand = 100_000 * (32 * (step_flops(PRESETS["dit-xl-2"], 77, 1) + given.text.flops) / rate)
    by_hand += 100_000 * 28 * pieces * assumed.layer_s
    assert a40.expert_s == pytest.approx(by_hand, rel=1e-6)
    assert a40.experts_s == pytest.approx(2 * by_hand, rel=1e-6)
    assert work.expert == 100_000 * work.step


def test_a_card_gets_as_many_rows_as_fit_and_checkpointing_only_where_nothing_else_does():
    made, text = make_plan(large()), large().text
    xl = PRESETS["dit-xl-2"]
    for each in made.cards:
        if each.rows_together is None:
            continue
        how = {"checkpointing": each.checkpointing, "precision": "bfloat16"}
        assert memory_bytes(xl, each.rows_together, **how) + text.bytes <= each.memory_bytes
        if each.checkpointing:
            assert memory_bytes(xl, 1, precision="bfloat16") + text.bytes > each.memory_bytes
    assert card(made, "RTX 3060 12 GB").obstacle == "too little memory"
    assert card(made, "T4").obstacle == "no bfloat16"
    assert card(made, "H100").rows_together == 32


def test_a_card_that_cannot_hold_the_runs_model_is_planned_for_the_largest_size_that_it_holds():
    smaller = [{"preset": "dit-l-2"}, {"preset": "dit-b-2"}]
    made = make_plan(large(model={"smaller": smaller}))
    assert card(made, "RTX 3060 12 GB").obstacle == "smaller size 1"
    assert card(made, "RTX 3060 12 GB").expert_s is None
    assert card(made, "H100").obstacle == ""


def test_more_volunteers_finish_sooner_until_there_is_one_for_each_expert():
    assert rounds_s(10.0, 8, 8) == rounds_s(10.0, 8, 9) == [(8, 10.0)]
    assert rounds_s(10.0, 8, 3) == [(3, 10.0), (3, 10.0), (2, 10.0)]
    # Of this machine's two cores each of three takes one: three together are slowed, the last alone is not.
    assert rounds_s(10.0, 4, 3, shared=0.5) == [(3, 15.0), (1, 10.0)]
    assert make_plan(large(), volunteers=1).cards[0].all_s == make_plan(large(), volunteers=1).cards[0].experts_s


def test_bytes_follow_from_rows_and_weights():
    small, many = make_plan(large(10_000)), make_plan(large(100_000))
    grown = many.organiser.data_repo_bytes - small.organiser.data_repo_bytes
    assert 7_000 < grown / 90_000 < 7_800  # a row of latents of 256 px is 7,411 bytes (benchmarks.latents)
    assert small.volunteer.up_bytes == small.expert_parameters * 4
    assert small.organiser.model_repo_bytes > 2 * small.volunteer.up_bytes
    text = large().text
    assert text.num_parameters == pytest.approx(123_060_480, rel=0.01)  # CLIP ViT-L/14's text model
    assert small.volunteer.down_bytes > text.bytes
    assert many.organiser.prepare_disk_bytes - small.organiser.prepare_disk_bytes > 90_000 * 8192


def test_int8_latents_and_eight_bit_moments_take_less():
    plain, int8 = make_plan(large()).volunteer, make_plan(large(codec={"store": "int8"})).volunteer
    assert int8.down_bytes < 0.9 * plain.down_bytes
    eight_bit = make_plan(large(training={"moments": "8bit"})).volunteer
    assert eight_bit.memory_bytes < plain.memory_bytes


def test_a_measured_speed_replaces_the_assumption():
    speed, given = Speed(flops_per_s=2e10, layer_s=0.002), facts()
    fields = {"label": "here", "threads": 1, "cores": 2, "memory_bytes": 2**34, "precision": "float32", "start_s": 2.0}
    here = make_plan(given, [MeasuredDevice(device="cpu", speed=speed, steps=(), **fields)], volunteers=2).cards[0]
    alone = training_s(speed, given.model, steps=240, batch_size=8)
    assert (here.name, here.is_measured) == ("here", True)
    assert here.expert_s == pytest.approx(alone)
    assert here.all_s == pytest.approx(alone)


def test_a_fitted_speed_predicts_the_steps_that_it_was_fitted_to_and_others():
    true = Speed(flops_per_s=3e10, layer_s=0.003)
    seen = [
        MeasuredStep(num_layers=layers, flops=flops, seconds=true.step_s(layers, flops))
        for layers, flops in ((4, 10**8), (4, 10**9), (12, 10**10))
    ]
    found = fit_speed(seen)
    assert found.step_s(6, 5e9, 3) == pytest.approx(true.step_s(6, 5e9, 3))
    one = fit_speed([MeasuredStep(num_layers=4, flops=10**9, seconds=0.5)])
    assert (one.layer_s, one.flops_per_s) == (0.0, pytest.approx(2e9))
    # A step of more operations that took less time would make the layers' time negative.
    odd = [MeasuredStep(num_layers=4, flops=10**8, seconds=0.001), MeasuredStep(num_layers=4, flops=10**9, seconds=1)]
    assert fit_speed(odd).layer_s == 0.0
    with pytest.raises(ValueError, match="at least one"):
        fit_speed([])


def test_rows_before_prepare_are_the_pictures_less_those_held_out():
    made = plan(1_000)
    assert made.rows == [492, 492]  # tiny.toml holds out 8 of each cluster
    assert made.pictures == 1_000
    assert not made.is_prepared
    assert "1,000 pictures are assumed" in made.assumptions[0]
    listed = make_plan(facts_before(settings()))
    assert "16 pictures are listed" in listed.assumptions[0]
    with pytest.raises(NotReadyError, match="how many pictures"):
        facts_before(settings(data={"source": {"kind": "folder", "path": "p"}}))


@pytest.mark.parametrize(
    ("seconds", "words"), [(3.14159, "3.14 s"), (600, "10 min"), (9000, "2.5 h"), (10**6, "11.6 days")]
)
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(("num_bytes", "words"), [(12, "12 B"), (1500, "1.5 kB"), (34e9, "34 GB"), (2e12, "2 TB")])
def test_sizes_in_words(num_bytes, words):
    assert size(num_bytes) == words


def test_the_table_shows_a_warm_start_where_there_is_one():
    plain, warm = make_plan(facts()), make_plan(facts(model={"warm_start_steps": 50}))
    shown = []
    for made in (plain, warm):
        out = io.StringIO()
        print_plan(made, out)
        shown.append(out.getvalue())
    assert ["warm start" in text for text in shown] == [False, True]
    assert warm.volunteer.down_bytes - plain.volunteer.down_bytes == 4 * plain.expert_parameters
    assert all(card.warm_start_s > 0 for card in warm.cards)


def test_a_plan_of_legs_says_what_a_leg_moves_and_how_long_it_takes():
    training = {"snapshot_every": 1_000}
    whole = make_plan(large(training=training))
    legs = make_plan(large(tasks={"leg_steps": 5_000}, training=training))
    states = legs.organiser.model_repo_bytes - whole.organiser.model_repo_bytes
    volunteer, card = legs.volunteer, legs.cards[-1]
    assert (volunteer.leg_steps, volunteer.leg_bytes) == (5_000, 16 * legs.expert_parameters)
    assert states == 2 * 11 * volunteer.leg_bytes  # two experts; nine tenths, and of the last three legs two more
    assert card.leg_s == pytest.approx(5_000 * card.step_s)
    assert volunteer.disk_bytes > whole.volunteer.disk_bytes
    out = io.StringIO()
    print_plan(legs, out)
    assert "a leg, usually of 5,000 steps: the state that it sends" in out.getvalue()
    assert "one leg" in out.getvalue()
    out = io.StringIO()
    print_plan(whole, out)
    assert "leg" not in out.getvalue()
    by_hours = make_plan(large(tasks={"leg_hours": 6})).cards[-1]
    assert by_hours.leg_s == 6 * 3600
