"""Steps of the real training are measured for every kind of input; long ones with fewer layers and rows."""

from __future__ import annotations

import pytest

from paris.coordinator.planning.measured import MeasuredCase, MeasureRequest
from paris.coordinator.planning.measuring import measure
from paris.experts.errors import SettingsError
from paris.experts.models.flops import step_flops
from paris.experts.models.presets import PRESETS

PIXELS = {"image_size": 8, "in_channels": 3, "patch_size": 4, "hidden_size": 32, "num_layers": 2, "num_heads": 2}
LATENTS = {**PIXELS, "in_channels": 4}
NO_TEXT, TEXT = ({"text_embed_dim": dim, "max_text_tokens": tokens} for dim, tokens in ((0, 0), (16, 4)))


@pytest.mark.parametrize("shape", [{**PIXELS, **TEXT}, {**PIXELS, **NO_TEXT}, {**LATENTS, **TEXT}])
def test_steps_of_one_row_and_of_the_whole_batch_are_measured(shape):
    model = PRESETS["dit-emoji-4"].model_copy(update=shape)
    found = measure(MeasureRequest(cases=(MeasuredCase(model=model, batch_size=4),)))
    assert [step.num_layers for step in found.steps] == [2, 2]
    assert [step.flops for step in found.steps] == [step_flops(model, model.max_text_tokens, rows) for rows in (1, 4)]
    assert found.speed.flops_per_s > 1e6
    assert (found.device, found.threads) == ("cpu", 1)


def test_a_device_that_is_not_there_is_named():
    case = MeasuredCase(model=PRESETS["dit-emoji-4"], batch_size=4)
    with pytest.raises(SettingsError, match=r"Torch has no device 'xpu:7' here: .*\. Give another --device\."):
        measure(MeasureRequest(cases=(case,), device="xpu:7"))


@pytest.mark.long
def test_a_step_that_would_take_long_is_measured_with_fewer_layers():
    case = MeasuredCase(model=PRESETS["dit-s-2"], batch_size=256)
    found = measure(MeasureRequest(cases=(case,), budget_s=1.0))
    assert all(step.num_layers < case.model.num_layers for step in found.steps)
    assert all(step.seconds < 60 for step in found.steps)
