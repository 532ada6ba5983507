"""Settings that cannot work are named, with their value and what to do."""

from __future__ import annotations

import pytest
from planned import facts, large

from paris.coordinator.planning.build import make_plan


def named(given) -> dict[str, tuple[str, bool]]:
    return {problem.setting: (problem.what, problem.refuses) for problem in make_plan(given).problems}


def test_settings_that_work_have_no_problem():
    assert named(facts(10_000)) == {}


@pytest.mark.parametrize(
    ("pictures", "tables", "setting", "what", "refuses"),
    [
        (50, {}, "[run] num_experts", "only 17 training pictures, fewer than 20", True),
        (50, {"tasks": {"min_rows": 5}}, "[run] num_experts", "learn them by heart", False),
        (10_000, {"training": {"batch_size": 0.5}}, "[training] batch_size", "no whole number of rows", True),
        (300, {"training": {"batch_size": 200}}, "[training] batch_size", "smallest cluster's 142", False),
        (10_000, {"tasks": {"min_memory_bytes": 10**12}}, "[tasks] min_memory_bytes", "largest card, H200", True),
        (10_000, {"tasks": {"min_memory_bytes": 1}}, "[tasks] min_memory_bytes", "take it and fail", False),
        (10_000, {"tasks": {"deadline_s": 0.01}}, "[tasks] deadline_s", "on the fastest card", True),
    ],
)
def test_a_setting_that_cannot_work_is_named(pictures, tables, setting, what, refuses):
    given = named(facts(pictures, **tables))
    assert what in given[setting][0]
    assert given[setting][1] is refuses


def test_a_deadline_that_only_fast_cards_keep_is_a_warning():
    fast, common = (
        next(card for card in make_plan(large()).cards if card.name == name) for name in ("H100", "RTX 4060 Ti 16 GB")
    )
    between = (fast.expert_s * common.expert_s) ** 0.5
    what, refuses = named(large(tasks={"deadline_s": between}))["[tasks] deadline_s"]
    assert "commonest card for it, RTX 4060 Ti 16 GB" in what
    assert not refuses


def test_a_model_that_no_card_holds_is_refused():
    huge = large(model={"overrides": {"hidden_size": 8192, "num_heads": 64, "num_layers": 64}})
    what, refuses = named(huge)["[model] preset"]
    assert "more than the largest card" in what
    assert refuses


def test_days_of_verification_on_a_processor_are_a_warning():
    what, refuses = named(large())["[compute] device"]
    assert "verification of one submission takes about" in what
    assert not refuses
    assert "[compute] device" not in named(large(compute={"device": "cuda"}))


@pytest.mark.parametrize(("leg_steps", "step"), [(30, "Set it to 1:"), (600, "Let it be, or lower replay_rate")])
def test_replays_of_more_than_a_hundredth_of_the_steps_are_a_warning_with_their_share(leg_steps, step):
    given = facts(tasks={"leg_steps": leg_steps, "steps": 6000})
    (problem,) = (one for one in make_plan(given).problems if one.setting == "[training] snapshot_every")
    checks = next(card.checks for card in make_plan(given).cards if card.checks)
    assert problem.what.startswith(f"{checks.replayed_share:.1%} of all steps are trained again")
    assert problem.next_step.startswith(step)
    assert not problem.refuses


def test_long_runs_of_many_stretches_have_no_such_warning():
    assert "[training] snapshot_every" not in named(facts(tasks={"leg_steps": 600, "steps": 150_000}))
    off = facts(tasks={"leg_steps": 30, "steps": 6000}, verify={"replay": False})
    assert "[training] snapshot_every" not in named(off)
