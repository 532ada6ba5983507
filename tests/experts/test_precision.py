from __future__ import annotations

import math

import torch
from torch import nn

from paris.experts.training.config import BaseTrainingConfig
from paris.experts.training.micro_batch import MicroBatch
from paris.experts.training.precision import LossScale
from paris.experts.training.state import TrainState
from paris.experts.training.step import TrainStep

CPU = torch.device("cpu")


def make_state(scaled: bool, **settings: object) -> TrainState:
    model = nn.Linear(3, 2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.arange(float(parameter.numel())).view_as(parameter) / 10)
    precision = "float16" if scaled else "float32"
    config = BaseTrainingConfig(steps=20, batch_size=1, learning_rate=0.05, precision=precision, **settings)
    return TrainState(model, config)


def step(state: TrainState, x: torch.Tensor) -> None:
    state.zero_grad()
    (state.model(x).square().mean() * state.scale).backward()
    TrainStep(state, MicroBatch(1)).update()


def test_a_scaled_training_is_the_unscaled_one_whether_clipped_or_not() -> None:
    for settings in ({"grad_clip": None}, {"grad_clip": 0.25}, {"grad_clip": 100.0}):
        scaled, plain = make_state(True, **settings), make_state(False, **settings)
        for number in range(4):
            x = torch.randn(5, 3, generator=torch.Generator().manual_seed(number))
            step(scaled, x)
            step(plain, x)
        for file, tensors in plain.tensors().items():
            for name, tensor in tensors.items():
                torch.testing.assert_close(scaled.tensors()[file][name], tensor, rtol=1e-6, atol=1e-7)


def test_a_step_whose_gradients_overflow_changes_no_weight_and_halves_the_scale() -> None:
    state = make_state(True)
    step(state, torch.ones(1, 3))
    before = {file: {n: t.clone() for n, t in tensors.items()} for file, tensors in state.tensors().items()}
    step(state, torch.tensor([[math.inf, 1.0, 1.0]]))
    assert state.step == 2
    after = state.tensors()
    assert float(after["optimizer"].pop("loss_scale")[0]) == float(before["optimizer"].pop("loss_scale")[0]) / 2
    for file in ("weights", "optimizer"):
        assert all(torch.equal(tensor, after[file][name]) for name, tensor in before[file].items())
    step(state, torch.ones(1, 3))
    assert not torch.equal(before["weights"]["weight"], state.model.weight)
    assert all(torch.isfinite(tensor).all() for tensors in state.tensors().values() for tensor in tensors.values())


def test_the_scale_doubles_after_a_thousand_good_steps_and_stays_within_its_bounds() -> None:
    scale, good, bad = LossScale(CPU), torch.tensor(1.0), torch.tensor(math.inf)
    first = float(scale.scale)
    for _ in range(999):
        scale.update(good)
    assert float(scale.scale) == first
    scale.update(good)
    assert scale.state.tolist() == [2 * first, 0.0]
    scale.update(good)
    scale.update(bad)
    assert scale.state.tolist() == [first, 0.0]
    for _ in range(40):
        scale.update(bad)
    assert float(scale.scale) == 1.0
    scale.state[0] = 2.0**24
    for _ in range(1000):
        scale.update(good)
    assert float(scale.scale) == 2.0**24
