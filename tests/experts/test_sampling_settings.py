import pytest

from paris.coordinator.run.config_tables import SamplingTable
from paris.experts.errors import SettingsError
from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.routing import Routing
from paris.experts.sampling.settings import SamplingSettings, default_sampling


def test_settings_without_the_newer_fields_are_sampled_as_they_always_were():
    old = SamplingSettings.from_settings({"num_steps": 30, "guidance_scale": 3.0, "routing": "top1", "solver": "heun"})
    assert (old.num_steps, old.solver, old.time_shift) == (30, "heun", 1.0)
    assert old.guidance == Guidance(scale=3.0)
    assert old.routing == Routing.named("top1")


def test_a_model_with_a_prompt_router_is_guided_away_from_the_ensemble():
    default = default_sampling(has_prompt_router=True)
    assert default.guidance == Guidance(scale=1.25, every=2, away_from="ensemble")
    assert default.with_overrides(routing="top2").guidance == default.guidance
    assert default_sampling(has_prompt_router=False).guidance == Guidance(scale=7.5)
    assert SamplingSettings.from_settings(default.to_settings()) == default
    for away_from, scale in (("ensemble", 1.25), ("expert", 7.5)):
        fields = {"guidance_away_from": away_from}
        assert SamplingSettings.from_settings(fields).guidance.scale == scale
        assert SamplingTable.model_validate(fields).guidance_scale == scale
        assert SamplingTable.model_validate({**fields, "guidance_scale": 3.0}).guidance_scale == 3.0


def test_settings_come_back_from_their_plain_form():
    settings = SamplingSettings(
        num_steps=12,
        solver="ab2",
        guidance=Guidance(scale=7.5, interval=(0.1, 0.8), every=2),
        routing=Routing(threshold=0.05, sure_above=0.9, router_every=3),
        time_shift=1.5,
    )
    assert SamplingSettings.from_settings(settings.to_settings()) == settings
    assert settings.to_settings() == {
        "num_steps": 12,
        "guidance_scale": 7.5,
        "routing": "top2",
        "solver": "ab2",
        "time_shift": 1.5,
        "guidance_interval": [0.1, 0.8],
        "guidance_every": 2,
        "guidance_away_from": "expert",
        "routing_threshold": 0.05,
        "sure_above": 0.9,
        "router_every": 3,
        "routing_temperature": 1.0,
        "redecide_below": 0.0,
    }


@pytest.mark.parametrize("name", ["top1", "top2", "top12", "full", "threshold", "ancestral"])
def test_a_routing_is_written_by_its_name_and_a_threshold_where_it_is_not_the_name_s(name):
    for threshold in (None, 0.3):
        fields = {"routing": name, "routing_threshold": threshold}
        written = SamplingSettings.from_settings(fields).to_settings()
        expected = {**fields, "routing": "threshold"} if (name, threshold) == ("full", 0.3) else fields
        assert {field: written[field] for field in fields} == expected
        assert SamplingSettings.from_settings(written) == SamplingSettings.from_settings(fields)


def test_a_rule_without_a_name_samples_but_is_not_written():
    settings = default_sampling(has_prompt_router=True).with_overrides(max_experts=2)
    assert settings.routing == Routing(max_experts=2, ancestral=True)
    with pytest.raises(SettingsError, match="max_experts = 2 has no name"):
        settings.to_settings()


def test_a_call_overrides_what_it_names_and_a_routing_s_name_brings_a_rule_of_its_own():
    own = SamplingSettings(num_steps=9, guidance=Guidance(scale=2.0, every=3), routing=Routing(sure_above=0.5))
    assert own.with_overrides() == own
    changed = own.with_overrides(num_steps=4, guidance_scale=5, routing_threshold=0.2, solver="heun")
    assert (changed.num_steps, changed.solver) == (4, "heun")
    assert changed.guidance == Guidance(scale=5.0, every=3)
    assert changed.routing == Routing(sure_above=0.5, threshold=0.2)
    assert own.with_overrides(routing="top1").routing == Routing(max_experts=1)


def test_guidance_or_routing_given_twice_is_refused():
    with pytest.raises(SettingsError, match="guidance is given twice"):
        SamplingSettings.from_settings({"guidance": Guidance(), "guidance_scale": 2})
    with pytest.raises(SettingsError, match="routing is given twice"):
        SamplingSettings.from_settings({"routing": Routing(), "sure_above": 0.5})


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
    with pytest.raises(SettingsError, match=field.replace("guidance_", "guidance.")):
        SamplingSettings.from_settings({field: value})
