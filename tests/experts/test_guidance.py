import pytest
import torch
from closed_forms import by_text, said
from tiny_sampling import field_of

from paris.experts.errors import SamplingError, SettingsError
from paris.experts.sampling.guidance import Guidance, GuidanceRun
from paris.experts.sampling.prompts import Prompts

X = torch.zeros(2, 2, 3, 3)


def guided_field(guidance):
    expert = by_text()
    return expert, field_of([expert], None, Prompts(said(1.0, 3.0), negative=(said(0.5), None)), guidance=guidance)


def test_guidance_applies_within_its_interval_and_costs_nothing_outside():
    expert, field = guided_field(Guidance(scale=3.0, interval=(0.25, 0.75)))
    for t, guided in (
        (1.0, False),
        (0.76, False),
        (0.75, True),
        (0.5, True),
        (0.25, True),
        (0.24, False),
        (0.0, False),
    ):
        expert.rows_asked.clear()
        velocity = field.at(X, t).velocity[:, 0, 0, 0]
        expected = 0.5 + 3.0 * (torch.tensor([1.0, 3.0]) - 0.5) if guided else torch.tensor([1.0, 3.0])
        torch.testing.assert_close(velocity, expected)
        assert expert.rows_asked == [4 if guided else 2]


def test_a_direction_is_used_again_with_the_present_text_s_velocity():
    run = GuidanceRun(Guidance(scale=4.0, every=2, interval=(0.1, 0.9)))
    # (time, is the negative asked for, velocity with text, velocity without)
    steps = [(0.95, False, 1.0, 0.0), (0.9, True, 2.0, 1.5), (0.8, False, 3.0, 0.0), (0.7, True, 4.0, 2.0)]
    expected = [1.0, 1.5 + 4 * 0.5, 3.0 + 3 * 0.5, 2.0 + 4 * 2.0]
    for (t, asks, with_text, negative), velocity in zip(steps, expected, strict=True):
        assert run.needs_negative(t) is asks
        made = run.combine(torch.tensor([with_text]), torch.tensor([negative]) if asks else None)
        torch.testing.assert_close(made, torch.tensor([velocity]))


def test_a_direction_is_forgotten_when_the_interval_ends():
    run = GuidanceRun(Guidance(scale=4.0, every=5, interval=(0.4, 1.0)))
    assert run.needs_negative(0.5)
    run.combine(torch.ones(1), torch.zeros(1))
    assert not run.needs_negative(0.3)
    torch.testing.assert_close(run.combine(torch.ones(1), None), torch.ones(1))


def test_guiding_the_mixture_is_guiding_each_expert_and_mixing_then():
    generator = torch.Generator().manual_seed(3)
    shares = torch.tensor([[0.2, 0.5, 0.3]])
    with_text, negative = torch.randn(2, 3, 7, generator=generator)
    run = GuidanceRun(Guidance(scale=7.5))
    assert run.needs_negative(0.5)
    mixed = run.combine(shares @ with_text, shares @ negative)
    torch.testing.assert_close(mixed, shares @ (negative + 7.5 * (with_text - negative)))


def test_a_scale_of_one_is_no_guidance_at_any_time():
    assert not Guidance(scale=1.0).is_on
    assert not any(GuidanceRun(Guidance(scale=1.0)).needs_negative(t) for t in (0.0, 0.5, 1.0))


def test_guidance_out_of_range_is_refused():
    for fields in (
        {"scale": -1},
        {"scale": 101},
        {"interval": (0.8, 0.2)},
        {"interval": (0.0, 1.1)},
        {"every": 0},
        {"scale": "much"},
    ):
        with pytest.raises(SettingsError):
            Guidance.from_settings(fields)
    with pytest.raises(SettingsError, match="scale"):
        Guidance.from_settings({"scale": float("nan")})
    with pytest.raises(SamplingError, match=r"guidance_scale 2.0 needs"):
        field_of([by_text()], None, said(1.0), guidance=2.0)
