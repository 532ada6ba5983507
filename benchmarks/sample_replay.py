"""(b) Cost of sampling settings at full size: a DiT-B/2 that replays the routing decisions of the small model.

The small model's routing decides which experts run on which pictures; the large router is evaluated, but its output is
replaced. The small model's four experts map to the large model's eight: even and odd pictures use different ones.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.sample_models import RandomModel
from benchmarks.sample_quality import field_of, run
from benchmarks.small.folder import TrainedFolder
from paris.experts.models.router import Router
from paris.experts.sampling.experts import Ensemble, ExpertMap
from paris.experts.sampling.field import VelocityField
from paris.experts.sampling.prompts import Prompts
from paris.experts.sampling.routing import Routing
from paris.experts.sampling.sample import Step
from paris.experts.sampling.settings import SamplingSettings
from paris.experts.sampling.trace import RoutingTrace, TraceRecorder


class ReplayedRouter:
    """Computes like a router, but returns another router's output.

    Args:
        router: Gives its time.
        answers: Weights `[B, K]` of each time that it is asked.
    """

    def __init__(self, router: Router, answers: list[Tensor]) -> None:
        self._router, self._answers = router, iter(answers)

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """Logits `[B, K]`, minus infinity where an expert does not run."""
        self._router(x, t)
        return next(self._answers).log()


def traced(digits: TrainedFolder, settings: SamplingSettings, num_pictures: int, first_seed: int) -> RoutingTrace:
    """Which experts the small model uses, a step at a time."""
    prompts = [digits.judge.heldout.captions[place] for place in digits.judge.prompts(num_pictures)]
    field = field_of(digits, prompts, settings, first_seed)
    recorder = TraceRecorder(field.numbers)
    for step in run(field, settings, first_seed):
        recorder.add(1.0 - step.number / settings.num_steps, step.weights)
    return recorder.trace()


def race(model: RandomModel, traces: dict[str, tuple[SamplingSettings, RoutingTrace]]) -> dict[str, Any]:
    """Seconds of each way of sampling on the large model, the first against the others.

    They advance together, so that what else the machine does meets all alike. Every run goes to its end: steps differ
    in what they cost.

    Args:
        model: The large one, with as many prompts as there are pictures in the traces.
        traces: By name: the settings, and the small model's routing. Solvers must evaluate once a step.
    """
    runs = {name: _large_run(model, *of) for name, of in traces.items()}
    seconds, done = dict.fromkeys(traces, 0.0), dict.fromkeys(traces, 0)
    longest = max(settings.num_steps for settings, _ in traces.values())
    for number in range(1, longest + 1):
        for name, (settings, _) in traces.items():
            while (done[name] + 1) * longest <= number * settings.num_steps:
                begun = time.perf_counter()
                next(runs[name])
                seconds[name] += time.perf_counter() - begun
                done[name] += 1
    first = seconds[next(iter(traces))]
    return {
        name: {"seconds": round(value, 2), "num_steps": done[name], "times_faster": round(first / value, 2)}
        for name, value in seconds.items()
    }


def _large_run(model: RandomModel, settings: SamplingSettings, trace: RoutingTrace) -> Iterator[Step]:
    # Ancestral routing asks no router: this one is asked once.
    every = settings.num_steps if settings.routing.ancestral else settings.routing.router_every
    num_experts, answers = len(model.experts), trace.weights[::every]
    spread = [_spread(weights, num_experts) for weights in answers]
    field = VelocityField(
        Ensemble(ExpertMap(model.experts), ReplayedRouter(model.router, spread)),
        Prompts(*model.text, negative=model.null),
        settings.guidance,
        Routing(max_experts=None, router_every=every),
    )
    return run(field, settings, model.seed)


def _spread(weights: Tensor, num_experts: int) -> Tensor:
    """Weights `[B, K]` of few experts as those of many `[B, num_experts]`: row b uses the b-th group of K."""
    rows, few = weights.shape
    groups = max(1, num_experts // few)
    spread = torch.zeros(rows, num_experts)
    for row in range(rows):
        begin = row % groups * few
        spread[row, begin : begin + few] = weights[row]
    return spread
