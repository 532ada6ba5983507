import pytest

from paris.experts.errors import SettingsError
from paris.experts.pipeline.rules import rules_of
from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.routing import Routing
from paris.experts.sampling.settings import SamplingSettings, usual_sampling


def test_settings_without_the_newer_fields_are_sampled_as_they_always_were():
    old = SamplingSettings.from_settings({"num_steps": 30, "guidance_scale": 3.0, "routing": "top1", "solver": "heun"})
    rules = rules_of(old)
    assert (rules.num_steps, rules.solver, rules.time_shift) == (30, "heun", 1.0)
    assert rules.guidance == Guidance(scale=3.0)
    assert rules.routing == Routing.named("top1")


def test_a_model_with_a_prompt_router_is_guided_away_from_the_ensemble():
    usual = usual_sampling(has_prompt_router=True)
    rules = rules_of(usual)
    assert rules.guidance == Guidance(scale=7.5, every=2, away_from="ensemble")
    assert rules_of(usual, routing="top2").guidance == rules.guidance
    assert rules_of(usual_sampling(has_prompt_router=False)).guidance == Guidance(scale=7.5)
    assert SamplingSettings.from_settings(usual.to_settings()) == usual


def test_settings_come_back_from_their_plain_form():
    settings = SamplingSettings(
        num_steps=12,
        solver="ab2",
        guidance_interval=(0.1, 0.8),
        guidance_every=2,
        routing_threshold=0.05,
        sure_above=0.9,
        router_every=3,
        time_shift=1.5,
    )
    assert SamplingSettings.from_settings(settings.to_settings()) == settings


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("routing", "best"),
        ("routing", "top0"),
        ("solver", "rk4"),
        ("guidance_interval", [0.1]),
        ("guidance_interval", [0.9, 0.1]),
        ("sure_above", 2),
        ("time_shift", 0),
        ("router_every", 0),
    ],
)
def test_a_setting_that_means_nothing_is_refused_by_name(field, value):
    with pytest.raises(SettingsError, match=field):
        SamplingSettings.from_settings({field: value})
