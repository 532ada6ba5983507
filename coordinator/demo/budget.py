"""How much fits into the time that the user gives: pure, from a measured speed and what the source holds.

    time = preparing + starting + experts, verification and router + release + report

All but the training of experts and router is estimated first; these two get the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from paris.coordinator.demo.shapes import ROUTER_BATCH, Shape
from paris.coordinator.demo.speed import MachineSpeed
from paris.coordinator.errors import ConfigError

GRID_PROMPTS, GRID_SEEDS = 8, 4
"""Of the report's grid."""
SAMPLING_STEPS = 20
LEAST_STEPS = 150
"""An expert of fewer steps draws noise, and may fail verification."""
LEAST_ROWS = 20
"""Pictures of an expert, held-out ones included."""
MOST_PASSES = 3000
"""Over each picture; more would only repeat them. The demo then ends early."""
_FEWEST_ROWS = 60
"""Pictures that are drawn at the least, where there are so many."""
_EXPERTS = ((24_000, 16), (3_200, 8), (160, 4), (2 * LEAST_ROWS, 2))
"""Pictures, and so many experts. From 3,200 on as docs/quality.md measured; fewer show what experts are."""
_MAX_WORKERS = 4
_ROUTER_SHARE = 0.12
_ROUTER_STEPS = (60, 1000)
_REPORT_SHARE = 0.08
_SAMPLES = (32, 512)
"""Fewest and most that the report draws beside its grid."""
_FORWARDS_A_STEP = 2.0
"""One expert, and at every second step guidance: another one, and the router."""
_SCORED_ROWS = 12 * 4 * 3
"""Rows through a model to verify an expert, for each cluster: held-out rows, draws, models."""
_PREPARE_STARTS, _JOIN_STARTS, _TRAIN_STARTS, _VERIFY_STARTS, _RELEASE_STARTS, _REPORT_STARTS = 2, 2, 2, 1, 1.5, 2
"""What each stage costs beside its work: in starts of a process that imports torch. One process verifies all experts;
beside that start and the scored rows a verification takes 0.03 starts (benchmarks/verify_cost.py)."""
_VERIFICATION_STARTS = 0.03
_DECODES = 2
"""Passes over the pictures."""
_RESERVE = 0.05
"""Share of the time that is not planned."""
_PASSES_BY_HEART, _PASSES_SHARED = 400, 40
"""Passes over each picture that learning takes: of captions of their own, and of captions that many pictures share."""
_SHARED = 0.2
"""Different captions over pictures, below which captions count as shared."""


class BudgetError(ConfigError):
    """The time is too short for this machine."""

    error_code = "demo-budget"


@dataclass(frozen=True)
class Facts:
    """What the source holds."""

    rows: int
    """Pictures that can be used."""
    captions: int
    """Different captions; 0 without text."""
    text: dict[str, Any]
    """[text] of run.toml."""
    decode_s: float
    """To read and decode one picture."""
    embed_flops: float
    """Operations of the embedder on one picture."""

    @property
    def has_own_captions(self) -> bool:
        """Whether most pictures have a caption that no other has."""
        return self.captions > _SHARED * self.rows

    @property
    def passes(self) -> int:
        """Passes over each picture that learning takes."""
        return _PASSES_BY_HEART if self.has_own_captions else _PASSES_SHARED


@dataclass(frozen=True)
class Budget:
    """What the demo does in its time."""

    shape: Shape
    num_experts: int
    num_rows: int
    """Pictures, drawn by the run's seed from all."""
    steps: int
    """Of each expert."""
    router_steps: int
    samples: int
    """That the report draws beside its grid."""
    num_workers: int
    """Volunteers."""
    step_s: float
    """Of an expert, while all volunteers train."""
    predicted_s: dict[str, float]
    """Seconds of each stage."""

    @property
    def passes(self) -> float:
        """How often training sees each picture."""
        return self.num_experts * self.steps * self.shape.batch_size / self.num_rows


def experts_for(rows: int) -> int:
    """K by the number of pictures."""
    return next((experts for least, experts in _EXPERTS if rows >= least), 1)


def workers_for(rows: int, cores: int, wished: int | None = None) -> int:
    """Trainings at the same time, at most one for each expert.

    Args:
        rows: Pictures.
        cores: Of the machine.
        wished: As many as the user asks for; None takes a divisor of the number of experts, so that all end together.
    """
    if wished is not None:
        return min(wished, experts_for(rows))
    most = min(_MAX_WORKERS, experts_for(rows))
    return max(count for count in range(1, most + 1) if most % count == 0 and count <= max(1, cores))


def choose(facts: Facts, shapes: Sequence[Shape], machine: MachineSpeed, *, total_s: float, spent_s: float) -> Budget:
    """Choose the best shape that has time to become clean, else the cheapest; and what it does.

    Args:
        facts: Of the source, with at least `2 * LEAST_ROWS` rows.
        shapes: The cheapest first.
        machine: Its measured speed.
        total_s: Seconds that the user gives.
        spent_s: Seconds of these that looking and measuring took.

    Raises:
        BudgetError: Not even the cheapest shape has time for the least training; names the least time.
    """
    choices = [_Choice(facts, shape, machine) for shape in shapes]
    budgets = [choice.budget(total_s - spent_s) for choice in choices]
    good = [budget for budget in budgets[1:] if budget.steps >= budget.shape.good_steps]
    chosen = (good or budgets[:1])[-1]
    if chosen.steps < LEAST_STEPS:
        least = math.ceil((spent_s + choices[0].least_s()) / 6) / 10
        raise BudgetError(
            f"{total_s / 60:g} minutes are too short for this machine: the least demo takes {least:g}, "
            f"{spent_s:.0f} s of it to look and measure, and {1000 * chosen.step_s:.0f} ms for each step of training.",
            f"Give --minutes {math.ceil(least)}.",
        )
    return chosen


@dataclass(frozen=True)
class _Choice:
    """One shape in the time there is."""

    facts: Facts
    shape: Shape
    machine: MachineSpeed

    def budget(self, budget_s: float) -> Budget:
        """As many steps as fit, on as many pictures as can be learned in them."""
        low, high = min(self.facts.rows, _FEWEST_ROWS), self.facts.rows
        while low < high:  # the most pictures that are seen often enough
            middle = (low + high + 1) // 2
            if self._with_rows(middle, budget_s).passes >= self.facts.passes:
                low = middle
            else:
                high = middle - 1
        return self._with_rows(low, budget_s)

    def least_s(self) -> float:
        """The shortest budget that `choose` accepts."""
        rows = min(self.facts.rows, _FEWEST_ROWS)
        router_s = _ROUTER_STEPS[0] * self._router_step_s(experts_for(rows))
        learning_s = router_s + LEAST_STEPS * self._round_s(experts_for(rows))
        beside_s = self._beside_s(rows, min(rows, _SAMPLES[1]))
        return math.ceil((sum(beside_s.values()) + learning_s) / (1 - _RESERVE)) + 1

    def _with_rows(self, rows: int, budget_s: float) -> Budget:
        experts, samples = experts_for(rows), self._samples(rows, budget_s)
        beside_s = self._beside_s(rows, samples)
        rest_s = max(0.0, budget_s * (1 - _RESERVE) - sum(beside_s.values()))
        router_step_s = self._router_step_s(experts)
        low, high = _ROUTER_STEPS
        router_steps = max(low, min(high, int(_ROUTER_SHARE * rest_s / router_step_s)))
        router_s = router_steps * router_step_s
        most = math.ceil(MOST_PASSES * rows / (experts * self.shape.batch_size))
        steps = min(most, int(max(0.0, rest_s - router_s) / self._round_s(experts)))
        learning_s = router_s + steps * self._round_s(experts)
        return Budget(
            shape=self.shape,
            num_experts=experts,
            num_rows=rows,
            steps=steps,
            router_steps=router_steps,
            samples=samples,
            num_workers=self._workers(experts),
            step_s=self._step_s,
            predicted_s={**beside_s, "train": beside_s["train"] + learning_s},
        )

    def _workers(self, experts: int) -> int:
        return min(self.machine.num_workers, experts)

    @property
    def _step_s(self) -> float:
        return self.machine.step_s(self.shape.model(self.facts.text), self.shape.batch_size)

    def _round_s(self, experts: int) -> float:
        """One step of every expert."""
        return math.ceil(experts / self._workers(experts)) * self._step_s

    def _router_step_s(self, experts: int) -> float:
        return self.machine.router_step_s(self.shape.router(experts), ROUTER_BATCH)

    @property
    def _embed_s(self) -> float:
        return self.facts.embed_flops / self.machine.speed.flops_per_s

    @property
    def _sample_s(self) -> float:
        """To draw one sample and compare it, while all workers' threads draw."""
        row_s = self.machine.forward_row_s(self.shape.model(self.facts.text))
        return (SAMPLING_STEPS * _FORWARDS_A_STEP * row_s + self._embed_s) / self.machine.num_workers

    def _samples(self, rows: int, budget_s: float) -> int:
        low, high = _SAMPLES
        return min(rows, max(low, min(high, int(_REPORT_SHARE * budget_s / self._sample_s))))

    def _beside_s(self, rows: int, samples: int) -> dict[str, float]:
        """Each stage without the training of experts and router."""
        experts, machine = experts_for(rows), self.machine
        workers, start_s = machine.num_workers, machine.start_s
        row_s = machine.forward_row_s(self.shape.model(self.facts.text))
        sampling_s = (samples + GRID_PROMPTS * GRID_SEEDS) * self._sample_s + rows * self._embed_s / workers
        rounds = math.ceil(experts / self._workers(experts))
        scoring_s = _SCORED_ROWS * experts * row_s
        verifying_s = _VERIFY_STARTS * start_s + rounds * (_VERIFICATION_STARTS * start_s + scoring_s)
        return {
            "prepare": _PREPARE_STARTS * start_s + rows * (_DECODES * self.facts.decode_s + self._embed_s) / workers,
            "start": _JOIN_STARTS * start_s,
            "train": _TRAIN_STARTS * start_s + verifying_s,
            "release": _RELEASE_STARTS * start_s,
            "report": _REPORT_STARTS * start_s + sampling_s,
        }
