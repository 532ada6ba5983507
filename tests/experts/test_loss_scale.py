from __future__ import annotations

import math

import torch
from torch import nn

from paris.experts.training.config import OptimizerConfig
from paris.experts.training.learner import Learner
from paris.experts.training.loss_scale import LossScale

CPU = torch.device("cpu")


def make_learner(scaled: bool, **settings: object) -> Learner:
    model = nn.Linear(3, 2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.arange(float(parameter.numel())).view_as(parameter) / 10)
    config = OptimizerConfig(steps=20, batch_size=1, learning_rate=0.05, **settings)
    return Learner(model, config, LossScale(CPU) if scaled else None)


def step(learner: Learner, x: torch.Tensor) -> None:
    scale = 1.0 if learner.loss_scale is None else learner.loss_scale.scale
    (learner.model(x).square().mean() * scale).backward()
    learner.apply_gradients()


def test_a_scaled_training_is_the_unscaled_one_whether_clipped_or_not() -> None:
    for settings in ({"grad_clip": None}, {"grad_clip": 0.25}, {"grad_clip": 100.0}):
        scaled, plain = make_learner(True, **settings), make_learner(False, **settings)
        for number in range(4):
            x = torch.randn(5, 3, generator=torch.Generator().manual_seed(number))
            step(scaled, x)
            step(plain, x)
        for part, tensors in plain.parts().items():
            for name, tensor in tensors.items():
                torch.testing.assert_close(scaled.parts()[part][name], tensor, rtol=1e-6, atol=1e-7)


def test_a_step_whose_gradients_overflow_changes_no_weight_and_halves_the_scale() -> None:
    learner = make_learner(True)
    step(learner, torch.ones(1, 3))
    before = {part: {n: t.clone() for n, t in tensors.items()} for part, tensors in learner.parts().items()}
    step(learner, torch.tensor([[math.inf, 1.0, 1.0]]))
    assert learner.step == 2
    after = learner.parts()
    assert float(after["optimizer"].pop("loss_scale")[0]) == float(before["optimizer"].pop("loss_scale")[0]) / 2
    for part in ("weights", "optimizer"):
        assert all(torch.equal(tensor, after[part][name]) for name, tensor in before[part].items())
    step(learner, torch.ones(1, 3))
    assert not torch.equal(before["weights"]["weight"], learner.model.weight)
    assert all(torch.isfinite(tensor).all() for tensors in learner.parts().values() for tensor in tensors.values())


def test_the_scale_doubles_after_a_thousand_good_steps_and_stays_within_its_bounds() -> None:
    scale, good, bad = LossScale(CPU), torch.tensor(False), torch.tensor(True)
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
