import subprocess
import sys

import pytest

from paris.experts.errors import SettingsError
from paris.experts.models.presets import (
    PRESETS,
    ROUTER_PRESETS,
    ModelConfig,
    model_preset,
    router_preset,
)


def test_settings_of_every_preset_come_back_as_it():
    for config in PRESETS.values():
        assert ModelConfig.from_settings(config.to_settings()) == config


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(SettingsError, match=r"'dit-xl-3'.*dit-xl-2"):
        model_preset("dit-xl-3")
    with pytest.raises(SettingsError, match=r"'router'.*router-b-2"):
        router_preset("router", 8)


def test_a_router_preset_takes_any_number_of_clusters():
    assert router_preset("router-b-2", 16).num_clusters == 16
    assert router_preset("router-b-2", 8) == ROUTER_PRESETS["router-b-2"]
    with pytest.raises(SettingsError, match="num_clusters = 0"):
        router_preset("router-b-2", 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 12}, "unknown field 'depth'"),
        ({"num_layers": None}, "num_layers = None"),
        ({"num_layers": 0}, "num_layers = 0"),
        ({"num_heads": 7}, "hidden_size 768 is not a multiple of num_heads 7"),
        ({"patch_size": 3}, "image_size 32 is not a multiple of patch_size 3"),
        ({"hidden_size": 774, "num_heads": 9}, "774 is not a multiple of 4"),
        ({"mlp_ratio": float("inf")}, "mlp_ratio = inf"),
    ],
)
def test_a_bad_model_setting_is_named(change, message):
    with pytest.raises(SettingsError, match=message):
        ModelConfig.from_settings({**PRESETS["dit-b-2"].to_settings(), **change})


def test_a_missing_model_setting_is_named():
    settings = PRESETS["dit-b-2"].to_settings()
    del settings["hidden_size"]
    with pytest.raises(SettingsError, match="field 'hidden_size' is missing"):
        ModelConfig.from_settings(settings)


def test_importing_the_package_and_its_presets_does_not_import_torch():
    code = (
        "import sys, paris.experts, paris.experts.models.presets, paris.experts.errors; paris.experts.PRESETS;"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_can_be_imported_and_others_say_so():
    import paris.experts

    assert len(paris.experts.__all__) <= 10
    assert all(getattr(paris.experts, name) is not None for name in paris.experts.__all__)
    with pytest.raises(AttributeError, match="nothing_like_that"):
        paris.experts.nothing_like_that  # noqa: B018
