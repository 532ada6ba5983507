"""What `benchmarks.quality` measures: which arms, which ways of sampling each, with which seeds."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.small.arms import MONOLITH
from benchmarks.small.settings import QUICK, SmallSettings
from benchmarks.small.ways import ALONE, CORE

REDECIDED = ("ancestral<0.3", "ancestral<0.5", "ancestral<0.7")
_FEW = ("top2+prompt", "full+prompt", "ancestral")


class Question(NamedTuple):
    """One figure to be had: an arm, sampled in a way."""

    arm: str
    way: str
    without: tuple[int, ...] = ()
    """Experts that are left out."""

    @property
    def name(self) -> str:
        """For tables."""
        left_out = f", without expert {', '.join(map(str, self.without))}" if self.without else ""
        return f"{self.arm}, {self.way}{left_out}"


class Plan(NamedTuple):
    """What a run of the benchmark does."""

    datasets: tuple[str, ...]
    seeds: tuple[int, ...]
    ideas_on: tuple[str, ...]
    """Data sets on which the ideas are tried too, with the first seed alone."""
    steps: int
    samples: int
    changes: dict[str, int]
    """Of the settings, for a quick run."""

    def settings(self, dataset: str, seed: int) -> SmallSettings:
        """Of one folder."""
        wanted = {"dataset": dataset, "seed": seed, "steps": self.steps, "samples": self.samples, **self.changes}
        return SmallSettings.from_settings(wanted)

    def questions(self, dataset: str, seed: int) -> list[Question]:
        """What is asked of one folder."""
        experts = self.settings(dataset, seed).experts
        core = core_questions(experts)
        is_first = seed == self.seeds[0] and dataset in self.ideas_on
        return core + (idea_questions(experts) if is_first else [])


QUICK_PLAN = Plan(("digits", "emoji"), (0,), (), QUICK["steps"], QUICK["samples"], dict(QUICK))


def full_plan(datasets: tuple[str, ...], seeds: tuple[int, ...], ideas_on: tuple[str, ...], steps: int) -> Plan:
    """The full form, of some data sets and seeds."""
    return Plan(datasets, seeds, ideas_on, steps, 1000, {})


def core_questions(experts: int) -> list[Question]:
    """One model against K experts, and against K experts of random clusters.

    Args:
        experts: K.
    """
    semantic, random = f"semantic-{experts}", f"random-{experts}"
    return [
        Question(MONOLITH, ALONE),
        *(Question(semantic, way) for way in (*CORE, *REDECIDED)),
        *(Question(random, way) for way in ("top2", "full", "ancestral")),
    ]


def idea_questions(experts: int) -> list[Question]:
    """Numbers of experts, kinds of clusters, starts, objectives, sizes, missing experts.

    Args:
        experts: K of the others.
    """
    counts = [count for count in (2, 8, 16, 32) if count != experts]
    kinds = ("even", "pixels", "overlap", "warm", "epsilon", "narrow", "slow", "steps")
    arms = [*(f"semantic-{count}" for count in counts), *(f"{kind}-{experts}" for kind in kinds)]
    asked = [Question(name, way) for name in (*arms, f"sampled-{experts}") for way in _FEW]
    asked.append(Question(f"distilled-{experts}", ALONE))
    return asked + [Question(f"semantic-{experts}", way, (experts - 1,)) for way in _FEW]
