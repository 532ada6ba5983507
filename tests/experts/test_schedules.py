from __future__ import annotations

import math

import pytest
import torch

from paris.experts.objectives.schedules import signal_and_noise, time_at

SCHEDULES = ("cosine", "linear")
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)
STEPS = (torch.arange(1000, dtype=torch.float64) + 1) / 1000


def test_the_cosine_schedule_is_the_published_formula():
    def f(t):
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    signal, noise = signal_and_noise("cosine", STEPS)
    expected = torch.tensor([f(t) / f(0.0) for t in STEPS.tolist()], dtype=torch.float64)
    torch.testing.assert_close(signal.square(), expected)
    torch.testing.assert_close(noise.square(), 1 - expected)


def test_the_linear_schedule_loses_signal_at_the_published_rate():
    # d alpha_bar / dt = -beta(t) alpha_bar, with beta from 0.1 to 20: a thousand times the betas 1e-4 to 0.02.
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    _, slope = torch.autograd.functional.jvp(
        lambda at: signal_and_noise("linear", at)[0].square(), t, torch.ones_like(t)
    )
    expected = -torch.lerp(torch.tensor(0.1).double(), torch.tensor(20.0).double(), t)
    torch.testing.assert_close(slope / signal_and_noise("linear", t)[0].square(), expected)


@pytest.mark.parametrize(("schedule", "betas"), [("cosine", "squaredcos_cap_v2"), ("linear", "linear")])
def test_a_thousand_steps_are_those_of_diffusers(schedule, betas):
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.DDPMScheduler(num_train_timesteps=1000, beta_schedule=betas).alphas_cumprod.double()
    signal, noise = signal_and_noise(schedule, STEPS)
    within = 6e-5 if schedule == "cosine" else 1.5e-3
    assert (signal - theirs.sqrt()).abs().max() < within
    assert (noise - (1 - theirs).sqrt()).abs().max() < within
    if schedule == "cosine":
        torch.testing.assert_close(signal[:-1].square(), theirs[:-1], atol=1e-6, rtol=0)


@every_schedule
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_signal_and_noise_are_a_point_of_the_circle_that_only_moves_towards_noise(schedule, dtype):
    signal, noise = signal_and_noise(schedule, torch.linspace(0, 1, 501, dtype=dtype))
    assert signal.dtype == noise.dtype == dtype
    torch.testing.assert_close(signal.square() + noise.square(), torch.ones(501, dtype=dtype), atol=3e-7, rtol=0)
    assert (signal.diff() < 0).all()
    assert (noise.diff() >= 0).all()
    assert (signal >= 0).all()


@every_schedule
def test_time_starts_with_data_and_ends_with_noise(schedule):
    signal, noise = signal_and_noise(schedule, torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(signal[0], torch.tensor(1.0))
    assert noise[0] == 0
    assert signal[1] < 0.007
    torch.testing.assert_close(noise[1], torch.tensor(1.0), atol=3e-5, rtol=0)


@every_schedule
def test_small_noise_is_right_to_many_digits_in_float32(schedule):
    t = torch.tensor([1e-6, 1e-4, 1e-3, 1e-2])
    torch.testing.assert_close(
        signal_and_noise(schedule, t)[1].double(), signal_and_noise(schedule, t.double())[1], rtol=1e-5, atol=0
    )


@every_schedule
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_time_of_a_mixture_is_the_time_it_was_made_at(schedule, dtype):
    t = torch.linspace(0, 1, 501, dtype=dtype)
    torch.testing.assert_close(time_at(schedule, *signal_and_noise(schedule, t)), t, atol=5e-6, rtol=0)


@every_schedule
def test_a_mixture_of_noise_alone_is_seen_at_the_end(schedule):
    assert time_at(schedule, torch.tensor([0.0]), torch.tensor([1.0])).item() == 1.0
    assert time_at(schedule, torch.tensor([1.0]), torch.tensor([0.0])).item() == pytest.approx(0.0, abs=1e-6)
