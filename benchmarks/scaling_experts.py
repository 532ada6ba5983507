"""One sampling step by number of experts K: K = 1 to 64, top-2, the same pictures, interleaved in one process.

Three ways of storing the experts, to separate computing from loading:

"resident"   two are in memory, the others on disk: the normal case
"shared"     all are in memory (two sets of weights for K experts): the same computation without loading
"one by one" two are in memory, and pictures are drawn one at a time, so that their two experts stay in memory

With B pictures and top-2 up to min(K, 2 B) experts run at each step, each on the rows that are
routed to it. The work is equal for every K from 2 on, in more and smaller pieces until K reaches 2 B.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.made_models import made_layout, make_model
from benchmarks.residency import SpreadRouter
from paris.experts.release.bank import ExpertBank
from paris.experts.release.layout import load_expert, load_router
from paris.experts.sampling.experts import Ensemble, ExpertMap, ExpertSource
from paris.experts.sampling.field import VelocityField
from paris.experts.sampling.prompts import Prompts
from paris.experts.sampling.sample import initial_noise
from paris.experts.seeding import generator_for

RESIDENT = 2
_TIME = 0.5


class _Case:
    """One K and one way of storing the experts."""

    def __init__(self, models: Path, preset: str, num_experts: int, way: str, num_pictures: int, device: str) -> None:
        layout = made_layout(preset, num_experts)
        folder = models / f"{preset}_{num_experts}"
        make_model(folder, layout)
        self.way, self.num_experts = way, num_experts
        self._bank = None if way == "shared" else ExpertBank.open(folder, layout, device, max_resident_experts=RESIDENT)
        router = SpreadRouter(load_router(folder, layout)).to(device)
        experts: ExpertSource | None = self._bank
        if experts is None:
            held = [load_expert(folder, layout, k).to(device) for k in range(min(RESIDENT, num_experts))]
            experts = ExpertMap({k: held[k % RESIDENT] for k in range(num_experts)})
        shape = (num_pictures, layout.model.max_text_tokens, layout.model.text_embed_dim)
        text = torch.randn(*shape, generator=generator_for(0, "text")).to(device)
        size = (layout.model.in_channels, layout.model.image_size, layout.model.image_size)
        self._x = initial_noise(range(num_pictures), size).to(device)
        # One by one: the first picture represents all; its two experts are in memory from its first step on.
        self._rows = slice(0, 1 if way == "one by one" else num_pictures)
        self._field = VelocityField(Ensemble(experts, router), Prompts(text[self._rows]))
        self.seconds: list[float] = []
        self.fetches: list[int] = []
        self.hidden: list[float] = []

    def step(self) -> None:
        """Time the field at all pictures, or at one."""
        before = self._bank.stats if self._bank else None
        begun = time.perf_counter()
        self._field.at(self._x[self._rows], _TIME).velocity.sum().item()
        self.seconds.append((time.perf_counter() - begun) / self._rows.stop)
        if self._bank and before:
            now = self._bank.stats
            self.fetches.append(now.fetches - before.fetches)
            fetch_s = now.fetch_s - before.fetch_s
            self.hidden.append(max(0.0, 1 - (now.waited_s - before.waited_s) / fetch_s) if fetch_s else 1.0)

    def row(self, reference: list[float]) -> dict[str, Any]:
        """The figures, without the first round, which projects the text and fills the slots."""
        ratios = [mine / other for mine, other in zip(self.seconds[1:], reference[1:], strict=True)]
        return {
            "experts": self.num_experts,
            "way": self.way,
            "s_per_picture": round(statistics.median(self.seconds[1:]), 4),
            "ratio_to_two_experts": round(statistics.median(ratios), 3),
            "fetches_per_step": statistics.median(self.fetches[1:]) if self.fetches else 0,
            "hidden": round(statistics.median(self.hidden[1:]), 3) if self.hidden else None,
        }

    def close(self) -> None:
        """End the bank's thread."""
        if self._bank:
            self._bank.close()


def over_experts(
    models: Path,
    preset: str,
    counts: list[int],
    num_pictures: int,
    rounds: int,
    device: str,
    say: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Time one step for each number of experts, in turn, several rounds.

    Args:
        models: Folder of the models with random weights; existing ones are reused.
        preset: Preset of the experts.
        counts: Numbers of experts K; must include 2, the reference.
        num_pictures: B.
        rounds: Measured rounds, after one warm-up round.
        device: Where to compute.
        say: Called with the progress.

    Returns:
        One row a number of experts and way.
    """
    cases = [
        _Case(models, preset, count, way, num_pictures, device)
        for count in counts
        for way in (("resident", "shared") if count > 1 else ("resident",))
    ]
    cases.append(_Case(models, preset, max(counts), "one by one", num_pictures, device))
    for number in range(rounds + 1):
        say(f"round {number} of {rounds}")
        for case in cases:
            case.step()
    references = {case.way: case.seconds for case in cases if case.num_experts == RESIDENT}
    rows = [case.row(references.get(case.way, references["resident"])) for case in cases]
    for case in cases:
        case.close()
    return rows
