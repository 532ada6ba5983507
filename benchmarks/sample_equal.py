"""(a) Equal pictures, against the plain loop; both are timed step by step in turn, under the same load."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from benchmarks.plain_sample import PlainSampling, plain_twin
from benchmarks.sample_models import RandomModel
from paris.experts.sampling.experts import Ensemble, ExpertMap
from paris.experts.sampling.field import VelocityField
from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.prompts import Prompts
from paris.experts.sampling.sample import initial_noise, integrate
from paris.experts.sampling.solvers import Euler, flow_times

GUIDANCE_SCALE = 7.5


def compare(model: RandomModel, num_steps: int) -> dict[str, Any]:
    """Sample with both, top-2, Euler, guidance 7.5.

    Args:
        model: Experts, router and prompts.
        num_steps: Steps.

    Returns:
        Seconds a step of both (medians), the median over steps of their ratio, and the maximal difference of the
        pictures, beside the pictures' own scale.
    """
    prompts = Prompts(*model.text, negative=model.null)
    field = VelocityField(Ensemble(ExpertMap(model.experts), model.router), prompts, Guidance(scale=GUIDANCE_SCALE))
    twins = [plain_twin(expert) for expert in model.experts]
    plain = PlainSampling(twins, plain_twin(model.router), model.text, model.null, GUIDANCE_SCALE)
    x = initial_noise(range(len(model.text[0])), field.picture_shape)
    times = flow_times(num_steps)
    theirs, rows, steps = x, [], integrate(field, x, times, Euler())
    for number in range(num_steps):
        begun = time.perf_counter()
        if number % 2:
            theirs = plain.step(theirs, times[number], times[number + 1])
            middle = time.perf_counter()
        step = next(steps)
        if not number % 2:
            middle = time.perf_counter()
            theirs = plain.step(theirs, times[number], times[number + 1])
        first, second = middle - begun, time.perf_counter() - middle
        chosen = (step.weights > 0).any(dim=0).sum().item()
        rows.append((first, second, chosen) if not number % 2 else (second, first, chosen))
    return {
        "num_steps": num_steps,
        "ours_s_per_step": round(statistics.median(row[0] for row in rows), 3),
        "plain_s_per_step": round(statistics.median(row[1] for row in rows), 3),
        "ratio": round(statistics.median(row[1] / row[0] for row in rows), 3),
        "ratio_of_sums": round(sum(row[1] for row in rows) / sum(row[0] for row in rows), 3),
        "maximal_difference": (step.x - theirs).abs().max().item(),
        "largest_value": theirs.abs().max().item(),
        "experts_per_step": round(statistics.fmean(row[2] for row in rows), 2),
        "threads": torch.get_num_threads(),
    }
