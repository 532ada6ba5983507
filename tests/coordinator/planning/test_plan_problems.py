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
