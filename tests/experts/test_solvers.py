import math
from itertools import pairwise

import pytest
import torch
from closed_forms import gaussian, text
from tiny_sampling import draw

from paris.experts.errors import SamplingError
from paris.experts.sampling.sample import initial_noise
from paris.experts.sampling.solvers import SOLVERS, flow_times, new_solver

ORDERS = {"euler": 1, "heun": 2, "ab2": 2, "ab3": 3, "dpmpp-2m": 2}


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_error_on_a_gaussian_falls_with_the_solver_s_order(solver):
    # The exact flow carries noise z to mean + deviation * z.
    mean, deviation, seeds = 0.7, 0.4, range(5)
    exact = mean + deviation * initial_noise(seeds, (2, 3, 3)).double()
    expert = gaussian(mean, deviation)
    errors = []
    for steps in (200, 400, 800):
        x, run = initial_noise(seeds, (2, 3, 3)).double(), new_solver(solver)
        for t, t_next in pairwise(flow_times(steps)):

            def at(x, t):
                return expert(x, torch.tensor([t], dtype=torch.float64), None)

            x = run.step(x, t, t_next, at(x, t), at)
        errors.append((x - exact).abs().max().item())
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(ORDERS[solver], abs=0.3)


@pytest.mark.parametrize(("solver", "calls"), [("euler", 6), ("heun", 12), ("ab2", 6), ("ab3", 7), ("dpmpp-2m", 6)])
def test_a_multistep_solver_asks_once_a_step(solver, calls):
    expert = gaussian(0.2, 0.3)
    draw([expert], None, text(2), range(2), num_steps=6, solver=solver)
    assert len(expert.rows_asked) == calls


@pytest.mark.parametrize("order", [2, 3])
def test_adams_bashforth_integrates_polynomials_of_lesser_degree_exactly_over_any_steps(order):
    def velocity(x, t):
        return torch.full_like(x, t ** (order - 1) - 2 * t)

    def integral(t):
        return t**order / order - t**2

    run, times = new_solver(f"ab{order}"), [1.0, 0.93, 0.7, 0.65, 0.2, 0.0]
    x = torch.zeros(1, dtype=torch.float64)
    for step, (t, t_next) in enumerate(pairwise(times)):
        ahead = run.step(x, t, t_next, velocity(x, t), velocity)
        if step >= order - 1:
            moved = integral(t_next) - integral(t)
            torch.testing.assert_close(ahead - x, torch.tensor([moved], dtype=torch.float64), atol=1e-12, rtol=0)
        x = ahead


def test_adams_bashforth_s_weights_on_equal_steps_are_the_textbook_s():
    for order, weights in ((2, (3 / 2, -1 / 2)), (3, (23 / 12, -16 / 12, 5 / 12))):
        for place, weight in enumerate(weights):
            # A velocity that is one at one step of the past alone shows that step's weight.
            run, x = new_solver(f"ab{order}"), torch.zeros(1, dtype=torch.float64)
            for step, (t, t_next) in enumerate(pairwise([1.0, 0.9, 0.8, 0.7])):
                one = torch.tensor([float(step == 2 - place)], dtype=torch.float64)
                moved = run.step(x, t, t_next, one, lambda x, t: torch.zeros_like(x))
            assert moved.item() == pytest.approx(-0.1 * weight, abs=1e-12)


def test_dpm_solver_takes_the_step_of_the_paper_s_formula():
    # Lu et al., arXiv 2211.01095, algorithm 2, with its own letters: alpha, sigma, lambda, h, r, D.
    times, pictures, x = [0.8, 0.5, 0.3], [1.7, -0.4], 0.9
    alpha, sigma = [1 - t for t in times], times
    lam = [math.log(a / s) for a, s in zip(alpha, sigma, strict=True)]
    h = lam[2] - lam[1]
    r = (lam[1] - lam[0]) / h
    d = (1 + 1 / (2 * r)) * pictures[1] - 1 / (2 * r) * pictures[0]
    expected = sigma[2] / sigma[1] * x - alpha[2] * math.expm1(-h) * d

    run = new_solver("dpmpp-2m")
    for t, t_next, picture in zip(times, times[1:], pictures, strict=False):
        velocity = torch.tensor([(x - picture) / t], dtype=torch.float64)
        made = run.step(torch.tensor([x], dtype=torch.float64), t, t_next, velocity, lambda x, t: x)
    assert made.item() == pytest.approx(expected, abs=1e-12)


def test_the_higher_orders_make_the_same_picture_in_fewer_steps():
    # The same Gaussian by few steps: what a solver of higher order is for.
    mean, deviation, seeds = -0.3, 0.5, range(3)
    exact = mean + deviation * initial_noise(seeds, (2, 3, 3))

    def error(solver, steps):
        made = draw([gaussian(mean, deviation)], None, text(3), seeds, num_steps=steps, solver=solver)
        return (made - exact).abs().max().item()

    reference = error("euler", 50)
    assert all(error(solver, 16) < reference for solver in ("ab2", "ab3", "dpmpp-2m"))


def test_flow_times_fall_from_one_to_zero_and_a_shift_divides_the_signal_to_noise_ratio():
    assert flow_times(4) == [1.0, 0.75, 0.5, 0.25, 0.0]
    shifted = flow_times(4, 3.0)
    assert shifted[0] == 1.0
    assert shifted[-1] == 0.0
    for t, even in zip(shifted[1:-1], flow_times(4)[1:-1], strict=True):
        assert (1 - t) / t == pytest.approx((1 - even) / even / 3.0)


def test_a_bad_solver_shift_or_number_of_steps_is_named():
    with pytest.raises(SamplingError, match=r"'rk4'.*euler, heun, ab2, ab3, dpmpp-2m"):
        new_solver("rk4")
    with pytest.raises(SamplingError, match="num_steps is 0"):
        flow_times(0)
    for shift in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(SamplingError, match="time_shift is"):
            flow_times(3, shift)
