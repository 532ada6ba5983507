"""(b) Search for the cheapest sampling settings as good as 50 Euler steps.

The search is greedy, one setting at a time: number of steps of a multistep solver, one expert per picture, guidance
interval, steps between guidance evaluations, router certainty for a single expert, steps between router evaluations,
and number of steps again. Values of a setting are tried from the cheapest until one is good enough.

Measurements are kept in FOLDER/sampled.jsonl, so that a restart continues.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.sample_quality import REFERENCE, Measured, measure
from benchmarks.small.folder import TrainedFolder
from paris.experts.sampling.settings import SamplingSettings

SEARCH_SEED, CHECK_SEED = 1_000_000, 2_000_000
"""First seeds of the pictures for the search and for the final check."""
_SCALES = (1.0, 1.5, 2.5, 4.0)
_STEPS = (5, 6, 8, 10, 12, 15, 20, 25)
_SOLVERS = ("ab2", "dpmpp-2m")


class Measurements:
    """Measures what was not yet measured.

    Args:
        digits: A trained folder.
        num_pictures: N of each measurement.
    """

    def __init__(self, digits: TrainedFolder, num_pictures: int) -> None:
        self._digits, self._num_pictures = digits, num_pictures
        self._path = digits.folder / "sampled.jsonl"
        self._known = dict(_read(self._path)) if self._path.exists() else {}

    def of(self, settings: SamplingSettings, first_seed: int = SEARCH_SEED) -> Measured:
        """What a way of sampling is worth, on the pictures of one set of seeds."""
        key = json.dumps([settings.to_settings(), self._num_pictures, first_seed], sort_keys=True)
        if key not in self._known:
            found = measure(self._digits, settings, self._num_pictures, first_seed)
            self._known[key] = found
            with self._path.open("a") as file:
                file.write(json.dumps([key, {**asdict(found), "settings": settings.to_settings()}]) + "\n")
            print(json.dumps(found.row("measured")), file=sys.stderr, flush=True)
        return self._known[key]


def best_scale(measured: Measurements) -> float:
    """The guidance scale at which this model's samples are nearest to the data; asked with 20 steps of ab2."""
    quick = {"num_steps": 20, "solver": "ab2"}
    return min(_SCALES, key=lambda scale: measured.of(_with(REFERENCE, **quick, guidance_scale=scale)).distance)


def search(measured: Measurements, reference: Measured) -> Measured:
    """The cheapest way that was found to be as good as the reference."""
    best = reference
    for question in ("steps", "routing", "interval", "every", "sure", "router", "steps"):
        for settings in _answers(question, best.settings):
            found = measured.of(settings)
            if found.cost < best.cost and found.equals(reference):
                best = found
                break
    return best


def _answers(question: str, now: SamplingSettings) -> Iterator[SamplingSettings]:
    """Ways to sample that differ from the present one in a single respect, from the cheapest on."""
    guided, routing_now = now.guidance.is_on, now.routing.name
    if question == "steps":
        for num_steps in (steps for steps in _STEPS if steps < now.num_steps):
            for solver in _SOLVERS:
                yield _with(now, num_steps=num_steps, solver=solver)
    elif question == "routing":
        for routing in ("ancestral", "top1"):
            yield _with(now, routing=routing)
    elif question == "interval" and guided:
        for interval in ((0.3, 0.7), (0.2, 0.7), (0.1, 0.7), (0.2, 0.9), (0.1, 0.9), (0.1, 1.0)):
            yield _with(now, guidance_interval=interval)
    elif question == "every" and guided:
        for every in (3, 2):
            yield _with(now, guidance_every=every)
    elif question == "sure" and routing_now == "top2":
        for probability in (0.5, 0.7, 0.8, 0.9, 0.95):
            yield _with(now, sure_above=probability)
    elif question == "router" and routing_now != "ancestral":
        for every in (4, 3, 2):
            yield _with(now, router_every=every)


def _with(settings: SamplingSettings, **changes: Any) -> SamplingSettings:
    return SamplingSettings.from_settings({**settings.to_settings(), **changes})


def _read(path: Path) -> Iterator[tuple[str, Measured]]:
    for line in path.read_text().splitlines():
        key, fields = json.loads(line)
        yield key, Measured(**{**fields, "settings": SamplingSettings.from_settings(fields["settings"])})
