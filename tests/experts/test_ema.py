from __future__ import annotations

import torch

from paris.experts.training.ema import Ema, ema_decay_at


def test_the_average_is_the_weighted_sum_of_all_weights_so_far() -> None:
    decay, history = 0.6, torch.randn(40, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weight = history[0].clone()
    ema = Ema({"w": weight})
    for step in range(1, 40):
        weight.copy_(history[step])
        ema.update(["w"], ema_decay_at(step - 1, decay))
    kept = torch.tensor([ema_decay_at(step, decay) for step in range(39)], dtype=torch.float64)
    # What is left of weights k: its own share, times all later decays.
    shares = torch.cat([torch.ones(1, dtype=torch.float64), 1.0 - kept])
    later = torch.cat([kept.flip(0).cumprod(0).flip(0), torch.ones(1, dtype=torch.float64)])
    torch.testing.assert_close(ema.average["w"], ((shares * later)[:, None] * history).sum(0))


def test_the_decay_rises_to_the_configured_one() -> None:
    decays = [ema_decay_at(step, 0.99) for step in range(2000)]
    assert decays[0] == 0.1
    assert decays == sorted(decays)
    assert decays[-1] == 0.99


def test_the_average_is_a_copy_and_constant_tensors_stay_exactly_as_they_are() -> None:
    weight, constant = torch.ones(3), torch.full((3,), 0.1)
    ema = Ema({"w": weight, "c": constant})
    weight.add_(1.0)
    assert torch.equal(ema.average["w"], torch.ones(3))
    for step in range(50):
        ema.update(["w", "c"], ema_decay_at(step, 0.9))
    assert torch.equal(ema.average["c"], constant)
