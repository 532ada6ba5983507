"""The plan of `benchmarks.quality`: arms, sampling methods of each, and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from benchmarks.small.arms import MONOLITH
from benchmarks.small.settings import QUICK, SmallSettings
from benchmarks.small.ways import ALONE, CORE

GUIDED = ("ancestral!2", "ancestral", "top2+prompt")
"""Methods also measured with guidance; the first is the default of a model with a prompt router."""
REDECIDED = ("ancestral<0.3", "ancestral<0.5", "ancestral<0.7")
_KINDS = (
    *("even", "pixels", "overlap", "warm", "brief", "uniform", "steps"),
    *("epsilon", "narrow", "slow", "bad", "replaced", "sampled", "seeing"),
    *("mixed", "shallow", "longer", "small", "halved"),
)
_ROUTED = ("top2+prompt~0.5", "top2+prompt~2", "top2+prompt~c", "full+prompt~0.5", "top2+prompt/5", "top2/5")
_AWAY = ("ancestral!1", "ancestral!3", "top2+prompt!2")
_COUNTS = {f"k{count}": count for count in (2, 4, 8, 16, 32)}
IDEAS = ("random", *_COUNTS, "routing", "missing", "distilled", *_KINDS)
"""Names of the variants besides the core; kinds of arms are defined in `arms.py`."""
_TUNED = {"digits": (), "fashion": ("k4", "k16", "brief"), "emoji": ("k2", "k8")}
"""Variants of data sets on which `--tuning` measures not all of them."""


class Question(NamedTuple):
    """One figure to measure: an arm with a sampling method."""

    arm: str
    way: str
    without: tuple[int, ...] = ()
    """Experts that are left out."""
    is_guided: bool = False
    """At the guidance scale that suits the arm best; else without guidance, which draws what was learned."""

    @property
    def name(self) -> str:
        """For tables."""
        left_out = f", without expert {', '.join(map(str, self.without))}" if self.without else ""
        return f"{self.arm}, {self.way}{left_out}{', guided' if self.is_guided else ''}"

    @property
    def scale_way(self) -> str:
        """The way of sampling at which the guidance scale is looked for."""
        _, mark, every = self.way.partition("!")
        return ALONE if self.way == ALONE else f"ancestral{mark}{every}"

    @property
    def scale_name(self) -> str:
        """What the guidance scale belongs to."""
        return f"{self.arm}, {self.scale_way}" if "!" in self.way else self.arm


class Plan(NamedTuple):
    """What a run of the benchmark does."""

    datasets: tuple[str, ...]
    seeds: tuple[int, ...]
    ideas_on: tuple[str, ...]
    """Data sets on which ideas are tried too, with the first seed alone."""
    ideas: tuple[str, ...]
    """Some of `IDEAS`."""
    changes: dict[str, int]
    """Of the settings, for a shorter run."""
    is_tuning: bool = False
    """Whether to try, with the first seed, other learning rates and numbers of experts than those that are compared."""

    def settings(self, dataset: str, seed: int) -> SmallSettings:
        """Of one folder."""
        wanted = {"dataset": dataset, "seed": seed, **_ALL, **_EACH[dataset], **self.changes}
        return SmallSettings.from_settings(wanted)

    def questions(self, dataset: str, seed: int) -> list[Question]:
        """What is asked of one folder."""
        experts = self.settings(dataset, seed).experts
        asked = core_questions(*compared(dataset, experts), warm_arm(dataset, experts))
        if seed == self.seeds[0]:
            asked += self._first_questions(dataset, experts)
        return list(dict.fromkeys(asked))

    def _first_questions(self, dataset: str, experts: int) -> list[Question]:
        """What one seed has to be enough for."""
        asked = idea_questions(dataset, experts, self.ideas) if dataset in self.ideas_on else []
        if self.is_tuning:
            asked += rate_questions(dataset, experts)
            asked += idea_questions(dataset, experts, _TUNED[dataset])
        return asked


_ALL = {
    "batch_size": 128,
    "rate_exponent": 0.5,
    "num_layers": 2,
    "router_hidden_size": 32,
    "router_layers": 2,
    "router_steps": 1000,
    "samples": 2000,
}
_GRAY = {"channels": 1, "hidden_size": 32, "experts": 8, "steps": 6000, "learning_rate": 1.6e-2}
_EACH: dict[str, dict[str, Any]] = {
    "digits": _GRAY,
    "fashion": _GRAY,
    "emoji": {"hidden_size": 64, "experts": 4, "steps": 3000, "learning_rate": 8e-3},
}
"""Models too small for all of the data, as the papers' are for theirs, in batches large enough to be split."""

_RATES = {
    "digits": (("2", "0.5", "1", "4"), ("1", "0.5", "2")),
    "fashion": (("1", "0.5", "2"), ("1", "0.5", "2")),
    "emoji": (("4", "1", "2", "8"), ("4", "1", "2", "8")),
}
"""Of the monolith and of the experts: multiples of the learning rate that were tried. The first are compared: the best,
but for the experts of emoji, which are a hundredth better at eight times."""

QUICK_PLAN = Plan(("digits", "emoji"), (0,), (), (), dict(QUICK))


def full_plan(
    datasets: Sequence[str],
    seeds: Sequence[int],
    ideas_on: Sequence[str],
    ideas: Sequence[str] = IDEAS,
    steps: int | None = None,
    *,
    is_tuning: bool = False,
) -> Plan:
    """The full form, of some data sets and seeds.

    Args:
        datasets: Names.
        seeds: Of training.
        ideas_on: Names.
        ideas: Some of `IDEAS`.
        steps: Of each expert; None: the data set's own.
        is_tuning: See `Plan`.
    """
    changes = {} if steps is None else {"steps": steps}
    return Plan(tuple(datasets), tuple(seeds), tuple(ideas_on), tuple(ideas), changes, is_tuning)


def compared(dataset: str, experts: int) -> tuple[str, str]:
    """The two arms that are compared: one model at the learning rate that suits it best, and the experts.

    Args:
        dataset: Its name.
        experts: K.
    """
    one, several = (multiples[0] for multiples in _RATES[dataset])
    return at_rate(MONOLITH, one), at_rate(f"semantic-{experts}", several)


def warm_arm(dataset: str, experts: int) -> str:
    """The same experts after a common start.

    Args:
        dataset: Its name.
        experts: K.
    """
    return at_rate(f"warm-{experts}", _RATES[dataset][1][0])


def rate_questions(dataset: str, experts: int) -> list[Question]:
    """Both arms at the learning rates that were tried.

    Args:
        dataset: Its name.
        experts: K.
    """
    one, several = _RATES[dataset]
    found = [Question(at_rate(MONOLITH, multiple), ALONE) for multiple in one]
    return found + [Question(at_rate(f"semantic-{experts}", multiple), "ancestral") for multiple in several]


def at_rate(name: str, multiple: str) -> str:
    """An arm at a multiple of its learning rate."""
    return name if multiple == "1" else f"{name}@{multiple}"


def core_questions(one: str, semantic: str, warm: str) -> list[Question]:
    """One model against K experts.

    Args:
        one: The arm of the one model.
        semantic: The arm of the experts.
        warm: That of experts after a common start.
    """
    plain = [Question(one, ALONE), *(Question(semantic, way) for way in (*CORE, *REDECIDED))]
    plain += [Question(warm, "ancestral"), Question(warm, GUIDED[0], is_guided=True)]
    guided = [Question(one, ALONE, is_guided=True)]
    return plain + guided + [Question(semantic, way, is_guided=True) for way in GUIDED]


def idea_questions(dataset: str, experts: int, ideas: Sequence[str] = IDEAS) -> list[Question]:
    """Numbers of experts, kinds of clusters, starts, objectives, sizes, rates, missing and bad experts.

    Args:
        dataset: Its name: the arms learn at the rate of the experts that are compared.
        experts: K of the others.
        ideas: Some of `IDEAS`.
    """

    def of(kind: str, count: int = experts) -> str:
        return at_rate(f"{kind}-{count}", _RATES[dataset][1][0])

    semantic, few = of("semantic"), ("top2+prompt", "full+prompt", "ancestral")
    found = {
        "random": [Question(of("random"), way) for way in ("top2", "full", "ancestral")],
        "routing": [Question(semantic, way) for way in _ROUTED]
        + [Question(semantic, way, is_guided=True) for way in _AWAY],
        "missing": [Question(semantic, way, (experts - 1,)) for way in few],
        # Beside a monolith that sees as much as the student.
        "distilled": [
            Question(f"{name}@{rate}" if rate != "1" else name, ALONE)
            for name in (f"distilled-{experts}", f"{MONOLITH}-4")
            for rate in ("1", "2")
        ],
    }
    for name, count in _COUNTS.items():
        found[name] = [Question(of("semantic", count), way) for way in few if count != experts]
    found |= {kind: [Question(of(kind), way) for way in few] for kind in _KINDS}
    # Drawn by the prompt router, an expert does not depend on what the other one sees.
    found["seeing"] = [Question(of("seeing"), way) for way in ("top1+prompt", "top2+prompt", "ancestral<0.5")]
    return [question for idea in ideas for question in found[idea]]
