"""What a training needs at least, against the models themselves."""

from __future__ import annotations

import pytest
import torch

from paris.experts.models.model import DiTExpert
from paris.experts.models.presets import PRESETS
from paris.experts.training.needs import least_disk_bytes, least_memory_bytes, num_parameters


@pytest.mark.parametrize("name", PRESETS)
def test_the_parameters_are_counted_as_the_model_has_them(name):
    with torch.device("meta"):
        model = DiTExpert(PRESETS[name])
    assert num_parameters(PRESETS[name]) == sum(parameter.numel() for parameter in model.parameters())


def test_a_card_of_4_gb_cannot_train_the_published_expert():
    xl = PRESETS["dit-xl-2"]
    assert 12 * 10**9 < least_memory_bytes(xl) < 14 * 10**9
    assert 8 * 10**9 < least_memory_bytes(xl, "8bit") < 10 * 10**9
    assert least_disk_bytes(xl) > 30 * 10**9
    assert least_memory_bytes(PRESETS["dit-emoji-4"]) < 2**30
